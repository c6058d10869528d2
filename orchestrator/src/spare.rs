//! What an endpoint can carry beside its interactive calls, and who of batch uses it. Interactive calls take their place without
//! asking; when that is more than the endpoint carries, the youngest batch call is recalled: it has lost the least.

mod ceiling;

pub(crate) use ceiling::EngineLook;

use ceiling::{Ceiling, Look};
use domain::{Class, Error, Kind};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// The code of a batch call that gave way to an interactive one. Nothing is wrong with it: ask again.
pub const YIELDED: &str = "yielded_to_interactive";
/// The code of a batch call that no endpoint had room for. Ask again.
pub const NO_SPARE_CAPACITY: &str = "no_spare_capacity";

/// Answers whose pace is remembered as the best for so many looks.
const BEST_OF: usize = 60;
const NEWEST: f64 = 0.2;

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    interactive: AtomicUsize,
    arrivals: AtomicUsize,
    batch: AtomicUsize,
    /// Batch calls that wait for room.
    waiting: AtomicUsize,
    was_pressed: AtomicBool,
    was_refused: AtomicBool,
    room: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ceiling: Ceiling,
    /// Batch calls in flight, the youngest last.
    seats: BTreeMap<u64, CancellationToken>,
    next: u64,
    pace: Pace,
}

/// Seconds for each token of batch answers.
#[derive(Debug, Default)]
struct Pace {
    average: Option<f64>,
    /// The best of each look.
    best: VecDeque<f64>,
}

/// Counts who waits as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that an endpoint carries; ends with its drop.
#[derive(Debug)]
pub(crate) enum Presence {
    /// Of somebody who waits for the answer.
    Interactive(Arc<Spare>),
    /// Of a batch.
    Batch(Seat),
    /// Of a batch at a deployment where batch gives way to nobody (`batch_yields = false`).
    Uncounted,
}

/// A batch call's place.
#[derive(Debug)]
pub(crate) struct Seat {
    spare: Arc<Spare>,
    number: u64,
    recall: CancellationToken,
    begun: Instant,
}

impl Spare {
    /// A place for a call of `class`; none when there is no room for batch.
    pub(crate) fn try_enter(self: &Arc<Self>, class: Class) -> Option<Presence> {
        match class {
            Class::Interactive => {
                self.make_way();
                Some(Presence::Interactive(self.clone()))
            }
            Class::Batch => self.try_sit().map(Presence::Batch),
        }
    }

    /// The same, with the wait for it.
    ///
    /// # Errors
    /// `RateLimited` with [`NO_SPARE_CAPACITY`] when there is no room for `patience`.
    pub(crate) async fn enter(self: &Arc<Self>, class: Class, patience: Duration) -> Result<Presence, Error> {
        let until = Instant::now() + patience;
        let _waiting = Waiting::new(&self.waiting);
        loop {
            // Before the try, so that room that comes in between is not missed.
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            if let Some(presence) = self.try_enter(class) {
                return Ok(presence);
            }
            if timeout_at(until, room).await.is_err() {
                let text = "The model has no capacity to spare for batch requests right now.";
                return Err(Error::new(Kind::RateLimited { retry_after: None }, text).with_code(NO_SPARE_CAPACITY));
            }
        }
    }

    fn make_way(&self) {
        let interactive = self.interactive.fetch_add(1, Ordering::Relaxed) + 1;
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        if self.batch.load(Ordering::Relaxed) > 0 {
            let mut state = self.state.lock();
            let excess = state.ceiling.excess(interactive, state.seats.len());
            state.recall(excess.min(1));
        }
    }

    fn try_sit(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.state.lock();
        if state.seats.len() >= state.ceiling.room(self.interactive.load(Ordering::Relaxed)) {
            self.was_pressed.store(true, Ordering::Relaxed);
            return None;
        }
        let (number, recall) = (state.next, CancellationToken::new());
        state.next += 1;
        state.seats.insert(number, recall.clone());
        self.batch.store(state.seats.len(), Ordering::Relaxed);
        Some(Seat { spare: self.clone(), number, recall, begun: Instant::now() })
    }

    /// Notes that the endpoint refused a call as too much.
    pub(crate) fn saw_refusal(&self) {
        self.was_refused.store(true, Ordering::Relaxed);
    }

    /// Takes in what a look at the endpoint found; to be called once a second. `lateness` is the time to the first token as a share
    /// of what is promised. Gives how many batch calls are in flight, and how many may be.
    pub(crate) fn look(&self, engine: Option<EngineLook>, lateness: Option<f64>) -> (usize, usize) {
        let interactive = self.interactive.load(Ordering::Relaxed);
        let mut state = self.state.lock();
        let batch = state.seats.len();
        let slowdown = state.pace.look();
        state.ceiling.look(&Look {
            engine,
            batch,
            interactive,
            arrivals: self.arrivals.swap(0, Ordering::Relaxed),
            was_pressed: self.was_pressed.swap(false, Ordering::Relaxed) || self.waiting.load(Ordering::Relaxed) > 0,
            was_refused: self.was_refused.swap(false, Ordering::Relaxed),
            slowdown,
            lateness: lateness.filter(|_| interactive > 0),
        });
        let room = state.ceiling.room(interactive);
        // Somebody else may have come to the server, who waits there because of batch calls.
        let is_queueing = engine.is_some_and(|engine| engine.waiting > 0.0);
        let excess = state.ceiling.excess(interactive, batch);
        let is_felt = is_queueing && state.ceiling.is_shared(interactive);
        state.recall(if is_felt { excess } else { 0 });
        drop(state);
        (batch..room).for_each(|_| self.room.notify_one());
        (batch, room)
    }
}

impl State {
    fn recall(&mut self, count: usize) {
        for recall in self.seats.values().rev().filter(|recall| !recall.is_cancelled()).take(count) {
            recall.cancel();
        }
    }
}

impl Pace {
    fn saw(&mut self, seconds: f64) {
        self.average = Some(self.average.map_or(seconds, |average| average + NEWEST * (seconds - average)));
    }

    /// The average as a multiple of the best average lately.
    fn look(&mut self) -> Option<f64> {
        let average = self.average?;
        self.best.push_back(average);
        if self.best.len() > BEST_OF {
            self.best.pop_front();
        }
        let best = self.best.iter().copied().fold(f64::INFINITY, f64::min);
        Some(average / best)
    }
}

impl Presence {
    /// Resolves once a batch call has to give way.
    pub(crate) async fn recalled(&self) {
        match self {
            Self::Batch(seat) => seat.recall.cancelled().await,
            Self::Interactive(_) | Self::Uncounted => std::future::pending().await,
        }
    }

    /// Notes that the answer has come to its end with so many tokens.
    pub(crate) fn answered(&self, tokens: u64) {
        if let Self::Batch(seat) = self
            && tokens > 0
        {
            seat.spare.state.lock().pace.saw(seat.begun.elapsed().as_secs_f64() / tokens as f64);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Self::Interactive(spare) = self {
            spare.interactive.fetch_sub(1, Ordering::Relaxed);
            spare.room.notify_one();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.spare.state.lock();
        state.seats.remove(&self.number);
        self.spare.batch.store(state.seats.len(), Ordering::Relaxed);
        drop(state);
        self.spare.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn engine(running: f64, waiting: f64) -> Option<EngineLook> {
        Some(EngineLook { running, waiting, ..EngineLook::default() })
    }

    fn sit(spare: &Arc<Spare>) -> Presence {
        spare.try_enter(Class::Batch).expect("there is room")
    }

    /// An endpoint that is known to carry `most` requests.
    fn known(most: usize) -> Arc<Spare> {
        let spare = Arc::new(Spare::default());
        let seats: Vec<_> = (0..7).map(|_| sit(&spare)).collect();
        for _ in 0..2 {
            spare.look(engine(most as f64, 7.0 - most as f64), None);
        }
        drop(seats);
        spare
    }

    fn is_recalled(presence: &Presence) -> bool {
        matches!(presence, Presence::Batch(seat) if seat.recall.is_cancelled())
    }

    #[tokio::test(start_paused = true)]
    async fn batch_waits_for_room_and_is_told_when_none_comes() {
        let spare = known(2);
        let first = sit(&spare);
        let second = sit(&spare);
        let mut third = pin!(spare.enter(Class::Batch, Duration::from_secs(5)));
        assert!(futures::poll!(&mut third).is_pending());

        drop(first);
        let third = third.await.unwrap();
        let fourth = spare.enter(Class::Batch, Duration::from_secs(5)).await;

        assert_eq!(fourth.unwrap_err().code(), Some(NO_SPARE_CAPACITY));
        drop((second, third));
    }

    #[test]
    fn an_interactive_call_recalls_the_youngest_of_those_that_stand_in_its_way() {
        let spare = known(3);
        let seats = [sit(&spare), sit(&spare), sit(&spare)];

        let _caller = spare.try_enter(Class::Interactive).unwrap();

        assert_eq!(seats.each_ref().map(is_recalled), [false, false, true]);
        let _another = spare.try_enter(Class::Interactive).unwrap();
        assert_eq!(seats.each_ref().map(is_recalled), [false, true, true]);
        drop(seats);
        assert!(spare.try_enter(Class::Batch).is_some(), "one place is left");
    }

    #[test]
    fn nobody_is_recalled_while_the_ceiling_is_a_guess() {
        let spare = Arc::new(Spare::default());
        let seats: Vec<_> = (0..7).map(|_| sit(&spare)).collect();

        let callers: Vec<_> = (0..20).filter_map(|_| spare.try_enter(Class::Interactive)).collect();

        assert_eq!(callers.len(), 20);
        assert!(!seats.iter().any(is_recalled));
    }

    #[test]
    fn requests_that_do_not_come_by_us_are_made_way_for_within_two_looks() {
        let spare = known(4);
        let seats = [sit(&spare), sit(&spare), sit(&spare)];

        for _ in 0..2 {
            spare.look(engine(4.0, 2.0), None);
        }

        assert_eq!(seats.each_ref().map(is_recalled), [false, true, true], "one of three fits beside three others");
        assert!(spare.try_enter(Class::Batch).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn new_room_wakes_as_many_as_it_holds() {
        let spare = Arc::new(Spare::default());
        let _seats: Vec<_> = (0..7).map(|_| sit(&spare)).collect();
        let mut waiting: Vec<_> =
            (0..10).map(|_| Box::pin(spare.enter(Class::Batch, Duration::from_secs(5)))).collect();
        for each in &mut waiting {
            assert!(futures::poll!(each).is_pending());
        }

        let (in_flight, room) = spare.look(engine(7.0, 0.0), None);

        let mut entered = Vec::new();
        for each in &mut waiting {
            if let std::task::Poll::Ready(presence) = futures::poll!(each) {
                entered.push(presence.unwrap());
            }
        }
        assert_eq!((in_flight, room, entered.len()), (7, 15, 8));
        // Slow calls: nothing has ended and nobody new has come, but two still wait.
        assert_eq!(spare.look(engine(15.0, 0.0), None), (15, 31));
    }

    #[test]
    fn an_engine_that_answers_ever_slower_is_noticed() {
        let mut pace = Pace::default();
        (0..20).for_each(|_| pace.saw(0.01));
        assert_eq!(pace.look(), Some(1.0));

        (0..20).for_each(|_| pace.saw(0.05));

        assert!(pace.look().is_some_and(|slowdown| slowdown > 4.0));
    }
}
