//! How many requests an endpoint is believed to carry at once, learned from looks at it a second apart. Pure: every rule is a
//! table test.

/// The first guess.
const FIRST: f64 = 8.0;
/// The growth of a guess that was never too high, a look: while nobody but batch would feel it if it became too high, and otherwise.
const FASTEST: f64 = 2.0;
const FAST: f64 = 1.5;
/// The growth back towards a level that was too high once, a look.
const RECOVERY: f64 = 1.1;
/// From this share of that level on, growth is slow.
const NEAR: f64 = 0.95;
/// From this share of that level on, a count is the same.
const ABOUT: f64 = 0.9;
/// Calm looks before more is tried than that level; half as many after each try that went well.
const PATIENCE: u32 = 30;
/// How much more, as a share.
const STEP: f64 = 0.02;
/// A cache fuller than this is about to preempt.
const FULL_CACHE: f64 = 0.85;
/// Looks between two halvings: the first has to show its effect.
const COHORT: u32 = 5;
/// What is left after a refusal.
const AFTER_REFUSAL: f64 = 0.75;
/// Answers that take so many times what they took at best are those of an endpoint that is overrun.
const SLOW: f64 = 3.0;
/// The share of a promised time to the first token from which batch gives way, and that from which it comes back.
const LATE: f64 = 0.8;
const PROMPT: f64 = 0.6;
/// Free slots are kept for the interactive requests of so many seconds, and never more than this share of all.
const AHEAD_SECS: f64 = 0.1;
const MOST_AHEAD: f64 = 0.125;
/// What an average keeps a look.
const FADING: f64 = 0.9;

/// What one look at an endpoint finds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Look {
    /// What the server says of itself, if it says anything.
    pub(crate) engine: Option<EngineLook>,
    /// Our batch calls in flight.
    pub(crate) batch: usize,
    /// Our interactive calls in flight.
    pub(crate) interactive: usize,
    /// Interactive calls that began since the last look.
    pub(crate) arrivals: usize,
    /// A batch call had to wait since the last look.
    pub(crate) was_pressed: bool,
    /// The server refused a call as too much since the last look.
    pub(crate) was_refused: bool,
    /// How long answers take, as a multiple of what they took at best.
    pub(crate) slowdown: Option<f64>,
    /// The time to the first token of interactive calls, as a share of what is promised.
    pub(crate) lateness: Option<f64>,
}

/// What a model server says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EngineLook {
    pub(crate) running: f64,
    pub(crate) waiting: f64,
    pub(crate) kv_usage: f64,
    /// Since it started.
    pub(crate) preemptions: f64,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Ceiling {
    /// Requests of any class and from anybody.
    most: f64,
    /// The level that was too high when it was last reached.
    trouble: Option<f64>,
    /// Looks since something changed.
    calm: u32,
    patience: u32,
    /// What ran in the server when it had to queue at the last look.
    queued: Option<f64>,
    /// Requests of others that the server has: in the last look, and in both of the last two.
    last_others: f64,
    others: f64,
    /// Interactive calls a second, at their peak and fading.
    arrivals: f64,
    preemptions: Option<f64>,
    /// What batch may use of what is spare, from 0 to 1; less while interactive callers wait too long.
    share: f64,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self {
            most: FIRST,
            trouble: None,
            calm: 0,
            patience: PATIENCE,
            queued: None,
            last_others: 0.0,
            others: 0.0,
            arrivals: 0.0,
            preemptions: None,
            share: 1.0,
        }
    }
}

impl Ceiling {
    /// How many batch calls may be in flight beside `interactive` ones.
    pub(crate) fn room(&self, interactive: usize) -> usize {
        let spare = self.carries(interactive > 0) - self.others - interactive as f64 - self.reserve();
        (spare.max(0.0) * self.share) as usize
    }

    /// By how many calls the endpoint is beyond what it is known to carry. Nothing as long as that is only a guess.
    pub(crate) fn excess(&self, interactive: usize, batch: usize) -> usize {
        let excess = self.others + (interactive + batch) as f64 - self.carries(interactive > 0);
        if self.trouble.is_some() { excess.max(0.0) as usize } else { 0 }
    }

    /// What is tried beyond the known level is tried on batch alone: nobody who waits for an answer queues for it.
    fn carries(&self, is_felt: bool) -> f64 {
        self.trouble.filter(|_| is_felt).map_or(self.most, |trouble| self.most.min(trouble))
    }

    /// Whether the endpoint works for anybody but batch.
    pub(crate) fn is_shared(&self, interactive: usize) -> bool {
        interactive > 0 || self.others >= 1.0
    }

    /// Takes in a look.
    pub(crate) fn look(&mut self, look: &Look) {
        self.calm = self.calm.saturating_add(1);
        self.arrivals = (self.arrivals * FADING).max(look.arrivals as f64);
        self.give_way(look.lateness);
        self.count_others(look);
        let is_strained = look.engine.is_some_and(|engine| engine.waiting > 0.0 || engine.kv_usage > FULL_CACHE);
        match self.fault(look) {
            Some((level, trouble)) => self.fall(level, trouble),
            None if look.was_pressed && !is_strained => self.grow(look),
            None => {}
        }
    }

    /// The server counts at another moment than we do: only what shows twice is somebody else's.
    fn count_others(&mut self, look: &Look) {
        let ours = (look.batch + look.interactive) as f64;
        let others = look.engine.map_or(0.0, |engine| (engine.running + engine.waiting - ours).max(0.0));
        self.others = others.min(std::mem::replace(&mut self.last_others, others));
    }

    /// The level to go down to and the one that was too high, if something says so.
    fn fault(&mut self, look: &Look) -> Option<(f64, f64)> {
        let may_judge = self.calm > COHORT;
        let Some(engine) = look.engine else {
            let is_slow = look.slowdown.is_some_and(|slowdown| slowdown > SLOW);
            return ((look.was_refused || is_slow) && may_judge).then_some((self.most * AFTER_REFUSAL, self.most));
        };
        let before = self.preemptions.replace(engine.preemptions);
        let has_preempted = before.is_some_and(|before| engine.preemptions > before);
        let full = self.full_at(engine, look.interactive > 0);
        if (has_preempted || engine.kv_usage > FULL_CACHE) && may_judge {
            return Some((engine.running / 2.0, engine.running));
        }
        if look.was_refused && may_judge {
            return Some((self.most * AFTER_REFUSAL, self.most));
        }
        let level = self.known_level(full?);
        Some((level, level))
    }

    /// What runs in a server that has to queue. One that is about to take in what has just come queues for a moment, too, so that only
    /// a second look is sure of it; but where somebody may be among those who wait, a wrong guess costs less than a slow one.
    fn full_at(&mut self, engine: EngineLook, is_felt: bool) -> Option<f64> {
        let queued = (engine.waiting > 0.0).then_some(engine.running);
        let before = std::mem::replace(&mut self.queued, queued);
        let running = queued?.max(before.unwrap_or(0.0));
        (is_felt || before.is_some()).then_some(running)
    }

    /// A full server has a free place for a moment now and then: a count that is near the known level is that level.
    fn known_level(&self, running: f64) -> f64 {
        self.trouble.filter(|trouble| running >= trouble * ABOUT).map_or(running, |trouble| trouble.max(running))
    }

    fn fall(&mut self, level: f64, trouble: f64) {
        self.most = self.most.min(level).max(1.0);
        self.trouble = Some(trouble.max(1.0));
        (self.calm, self.patience) = (0, PATIENCE);
    }

    fn grow(&mut self, look: &Look) {
        let Some(trouble) = self.trouble else {
            let is_alone = !self.is_shared(look.interactive) && self.arrivals < 1.0;
            self.most *= if is_alone { FASTEST } else { FAST };
            return;
        };
        if self.most < trouble * NEAR {
            self.most = (self.most * RECOVERY).max(self.most + 1.0).min(trouble);
        } else if self.calm > self.patience && look.interactive == 0 {
            // Trying more than it once could carry is not for the moments when somebody would feel it.
            // What ran for so long without a queue is what it carries; the ceiling itself may never have been reached.
            let ran = look.engine.map_or(look.batch as f64, |engine| engine.running);
            self.trouble = Some(ran.max(trouble));
            self.most += (self.most * STEP).max(1.0);
            (self.calm, self.patience) = (0, self.patience.div_ceil(2));
        }
    }

    fn give_way(&mut self, lateness: Option<f64>) {
        match lateness {
            Some(lateness) if lateness > LATE => self.share = (self.share * 0.7 - 0.01).max(0.0),
            Some(lateness) if lateness > PROMPT => {}
            _ => self.share = (self.share + 0.1).min(1.0),
        }
    }

    /// Slots that stay free for interactive calls that are about to come.
    fn reserve(&self) -> f64 {
        (self.arrivals * AHEAD_SECS).ceil().max(1.0).min((self.most * MOST_AHEAD).floor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(running: f64, waiting: f64) -> Option<EngineLook> {
        Some(EngineLook { running, waiting, ..EngineLook::default() })
    }

    /// A look at an endpoint that does nothing but our batch calls, of which more wait.
    fn pressed(batch: usize, waiting: f64) -> Look {
        let engine = engine(batch as f64 - waiting, waiting);
        Look { engine, batch, was_pressed: true, ..Look::default() }
    }

    /// A ceiling that has found that `most` requests fit.
    fn known(most: usize) -> Ceiling {
        let mut ceiling = Ceiling { most: most as f64 + 1.0, ..Ceiling::default() };
        (0..2).for_each(|_| ceiling.look(&pressed(most + 1, 1.0)));
        assert_eq!(ceiling.most, most as f64);
        ceiling
    }

    #[test]
    fn it_grows_fast_until_the_server_has_to_queue_and_then_holds_that_level() {
        let mut ceiling = Ceiling::default();
        let mut looks = 0;

        while ceiling.trouble.is_none() {
            let batch = ceiling.room(0);
            ceiling.look(&pressed(batch, (batch as f64 - 64.0).max(0.0)));
            looks += 1;
        }

        assert!(looks <= 6, "{looks} looks");
        assert_eq!(ceiling.room(0), 63);
        ceiling.look(&pressed(63, 0.0));
        assert_eq!(ceiling.room(0), 63);
    }

    #[test]
    fn it_grows_more_slowly_where_callers_were_seen_lately() {
        let grown = |first: Look, looks: usize| {
            let mut ceiling = Ceiling::default();
            ceiling.look(&first);
            (1..looks).for_each(|_| ceiling.look(&pressed(7, 0.0)));
            ceiling.most
        };

        let alone = grown(pressed(7, 0.0), 3);
        let after_a_call = grown(Look { arrivals: 5, ..pressed(7, 0.0) }, 3);

        assert_eq!((alone, after_a_call), (FIRST * FASTEST.powi(3), FIRST * FAST.powi(3)));
    }

    #[test]
    fn a_queue_of_a_moment_only_stops_the_growth() {
        let mut ceiling = Ceiling::default();

        ceiling.look(&pressed(8, 6.0));
        ceiling.look(&pressed(8, 0.0));

        assert_eq!((ceiling.most, ceiling.trouble), (FIRST * FASTEST, None));
    }

    #[test]
    fn a_place_that_is_free_for_a_moment_lowers_nothing() {
        let mut ceiling = known(64);

        ceiling.look(&Look { interactive: 3, engine: engine(60.0, 1.0), ..pressed(60, 0.0) });
        let near = ceiling.most;
        for _ in 0..2 {
            ceiling.look(&Look { interactive: 3, engine: engine(40.0, 5.0), ..pressed(60, 0.0) });
        }

        assert_eq!((near, ceiling.most), (64.0, 40.0));
    }

    #[test]
    fn a_queue_beside_interactive_calls_is_believed_at_once() {
        let mut ceiling = Ceiling { most: 100.0, ..Ceiling::default() };

        ceiling.look(&Look { interactive: 3, engine: engine(64.0, 3.0), ..pressed(64, 0.0) });

        assert_eq!((ceiling.most, ceiling.excess(3, 64)), (64.0, 3));
    }

    #[test]
    fn a_level_that_was_taken_for_too_low_is_found_out_soon() {
        let mut ceiling = known(20);

        (0..120).for_each(|_| ceiling.look(&pressed(ceiling.room(0), 0.0)));

        assert!(ceiling.most > 50.0, "{}", ceiling.most);
    }

    #[test]
    fn what_is_tried_beyond_the_known_level_is_no_place_of_callers_who_wait() {
        let mut ceiling = known(10);
        (0..=PATIENCE).for_each(|_| ceiling.look(&pressed(9, 0.0)));
        assert_eq!((ceiling.room(0), ceiling.room(1), ceiling.excess(1, 10)), (10, 8, 1));

        // All ten run, and that is no proof of an eleventh: the next try is the first to queue.
        (0..=PATIENCE / 2).for_each(|_| ceiling.look(&pressed(10, 0.0)));
        (0..2).for_each(|_| ceiling.look(&pressed(11, 1.0)));

        assert_eq!((ceiling.most, ceiling.excess(1, 10)), (10.0, 1));
    }

    #[test]
    fn one_more_is_tried_after_a_long_calm_and_never_beside_interactive_calls() {
        let (mut alone, mut beside) = (known(10), known(10));

        for _ in 0..=PATIENCE {
            alone.look(&pressed(9, 0.0));
            beside.look(&Look { interactive: 1, engine: engine(9.0, 0.0), ..pressed(8, 0.0) });
        }

        assert_eq!((alone.most, beside.most), (11.0, 10.0));
    }

    #[test]
    fn interactive_calls_take_what_batch_had_at_once() {
        let ceiling = known(10);

        assert_eq!([0, 1, 5, 9, 10, 11].map(|interactive| ceiling.room(interactive)), [9, 8, 4, 0, 0, 0]);
        assert_eq!(
            [(1, 9), (2, 9), (20, 3)].map(|(interactive, batch)| ceiling.excess(interactive, batch)),
            [0, 1, 13]
        );
    }

    #[test]
    fn a_guess_never_recalls_anybody() {
        assert_eq!(Ceiling::default().excess(100, 100), 0);
    }

    #[test]
    fn requests_of_others_count() {
        let mut ceiling = known(10);

        let busy = Look { batch: 2, engine: engine(8.0, 0.0), ..Look::default() };
        ceiling.look(&busy);
        assert_eq!(ceiling.room(0), 9, "once may be a matter of the moment");
        ceiling.look(&busy);

        assert_eq!((ceiling.room(0), ceiling.excess(0, 5)), (3, 1));
    }

    #[test]
    fn more_is_kept_free_the_more_callers_come_and_only_for_a_while() {
        let mut ceiling = known(64);
        let calm = Look { was_pressed: false, ..pressed(10, 0.0) };

        ceiling.look(&Look { arrivals: 30, ..calm });
        let then = ceiling.room(0);
        (0..40).for_each(|_| ceiling.look(&calm));

        assert_eq!((then, ceiling.room(0)), (61, 63));
    }

    #[test]
    fn a_full_cache_or_a_preemption_halves_and_the_way_back_is_quick() {
        let full = |kv_usage, preemptions| {
            let engine = EngineLook { running: 40.0, kv_usage, preemptions, ..EngineLook::default() };
            Look { engine: Some(engine), batch: 40, was_pressed: true, ..Look::default() }
        };
        let mut ceilings = [known(40), known(40)];
        for ceiling in &mut ceilings {
            (0..=COHORT).for_each(|_| ceiling.look(&full(0.1, 0.0)));
        }

        ceilings[0].look(&full(0.9, 0.0));
        ceilings[1].look(&full(0.1, 1.0));

        for mut ceiling in ceilings {
            assert_eq!(ceiling.most, 20.0);
            ceiling.look(&full(0.9, 2.0));
            assert_eq!(ceiling.most, 20.0, "the same cohort is judged once");
            (0..7).for_each(|_| ceiling.look(&pressed(19, 0.0)));
            assert!(ceiling.most > 36.0, "{}", ceiling.most);
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_judged_by_refusals_and_by_its_pace() {
        let silent = Look { batch: 20, was_pressed: true, ..Look::default() };
        for trouble in [Look { was_refused: true, ..silent }, Look { slowdown: Some(4.0), ..silent }] {
            let mut ceiling = Ceiling { most: 20.0, calm: COHORT, ..Ceiling::default() };

            ceiling.look(&trouble);

            assert_eq!(ceiling.most, 15.0);
        }
    }

    #[test]
    fn a_time_of_refusals_is_soon_forgotten() {
        let mut ceiling = known(64);

        (0..10).for_each(|_| ceiling.look(&Look { was_refused: true, engine: engine(0.0, 0.0), ..Look::default() }));
        let low = ceiling.room(0);
        (0..10).for_each(|_| ceiling.look(&pressed(ceiling.room(0), 0.0)));

        assert_eq!((low, ceiling.room(0)), (47, 62));
    }

    #[test]
    fn callers_who_wait_too_long_push_batch_out_altogether() {
        let mut ceiling = known(64);
        let late = Look { lateness: Some(1.2), interactive: 1, ..Look::default() };

        (0..12).for_each(|_| ceiling.look(&late));
        let none = ceiling.room(1);
        (0..11).for_each(|_| ceiling.look(&Look { lateness: Some(0.3), interactive: 1, ..Look::default() }));

        assert_eq!((none, ceiling.room(1)), (0, 62));
    }
}
