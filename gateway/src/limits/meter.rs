//! One limit on this replica: what it may still admit from memory, what it has to report, and what it would like. Pure: time
//! comes in, nothing waits. `balance` is what may be admitted, `reserved` what runs, `used` what is booked with the next report.

use domain::{Limit, LimitKind};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use store::{LeaseGrant, LeaseReport};
use tokio::time::Instant;

/// A use counts against a limit by the minute for so long.
const WINDOW: Duration = Duration::from_secs(60);
/// How much of its recent use a replica likes to hold.
const HORIZON: Duration = Duration::from_secs(1);
/// A shorter time says nothing of the rate of use.
const SHORTEST_LOOK: Duration = Duration::from_millis(50);
/// How long the store's word that nothing is left is taken for true.
const WORD_HOLDS: Duration = Duration::from_millis(500);
/// The part of a limit, in percent, that a replica may hold without using it.
const IDLE_PERCENT: i64 = 1;
/// For how long.
const IDLE_HOLD: Duration = Duration::from_secs(10);
/// When others hold what is missing, they give it back within this, if they don't use it.
const SOON: Duration = Duration::from_secs(1);

/// Whether a need can be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// From memory.
    Fits,
    /// Only the store can tell.
    Ask,
    /// Not before this time has passed; none = not by waiting.
    Exhausted(Option<Duration>),
    /// More than the whole limit.
    TooLarge,
}

/// What a caller is told of a limit by the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateView {
    pub(crate) limit: i64,
    pub(crate) remaining: i64,
    pub(crate) reset: Duration,
}

/// A use that was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) amount: i64,
    generation: i64,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) limit: Limit,
    balance: i64,
    reserved: i64,
    /// The number of the report that is being collected.
    generation: i64,
    used: i64,
    /// What was booked wrong, by the number of its report.
    corrections: BTreeMap<i64, i64>,
    pending: Option<Pending>,
    /// Oldest first.
    booked: VecDeque<Booked>,
    lease: Lease,
    demand: Demand,
}

/// A report that is on its way, or whose answer was lost.
#[derive(Debug)]
struct Pending {
    seq: i64,
    used: i64,
    corrections: Vec<(i64, i64)>,
    sent: Sent,
}

/// What was said besides.
#[derive(Debug)]
struct Sent {
    at: Instant,
    keep: i64,
    need: i64,
}

/// Where a report's uses were booked.
#[derive(Debug)]
struct Booked {
    generation: i64,
    slot_ms: i64,
    until: Instant,
}

/// The last word of the store.
#[derive(Debug, Default)]
struct Lease {
    held: i64,
    until: Option<Instant>,
    heard_at: Option<Instant>,
    /// Left in the store when it spoke.
    left: i64,
    size: i64,
    is_short: bool,
    frees: Vec<(Instant, i64)>,
    reset_at: Option<Instant>,
}

/// What was asked for since the last report.
#[derive(Debug, Default)]
struct Demand {
    admitted: i64,
    unmet: i64,
    smallest: i64,
    last_at: Option<Instant>,
    largest: i64,
    /// The most that ran at once.
    peak: i64,
}

impl Meter {
    pub(crate) fn new(limit: Limit) -> Self {
        Self {
            limit,
            balance: 0,
            reserved: 0,
            generation: 1,
            used: 0,
            corrections: BTreeMap::new(),
            pending: None,
            booked: VecDeque::new(),
            lease: Lease::default(),
            demand: Demand::default(),
        }
    }

    /// Whether `need` fits; one that does not is remembered for the next report. One that has waited since `waited_since` in
    /// vain knows enough if the store has answered meanwhile: what it had, others got.
    pub(crate) fn check(&mut self, need: i64, waited_since: Option<Instant>, now: Instant) -> Check {
        if need > self.limit.amount {
            return Check::TooLarge;
        }
        if self.is_leased(now) && self.balance >= need {
            return Check::Fits;
        }
        self.demand.unmet = self.demand.unmet.saturating_add(need);
        self.demand.smallest = if self.demand.smallest == 0 { need } else { self.demand.smallest.min(need) };
        let has_heard = |is_fresh: &dyn Fn(Instant) -> bool| self.lease.heard_at.is_some_and(is_fresh);
        let is_short = self.lease.is_short && has_heard(&|at| now < at + WORD_HOLDS);
        let is_outrun = waited_since.is_some_and(|since| has_heard(&|at| since < at));
        if is_short || is_outrun { Check::Exhausted(self.wait_for(need, now)) } else { Check::Ask }
    }

    /// Whether the store's word still holds.
    pub(crate) fn is_leased(&self, now: Instant) -> bool {
        self.lease.until.is_some_and(|until| now < until)
    }

    /// Takes `need`. Whether so little is left that the store should be asked before somebody has to wait.
    pub(crate) fn charge(&mut self, need: i64, now: Instant) -> (Charge, bool) {
        self.balance -= need;
        match self.limit.kind.is_rate() {
            true => self.used += need,
            false => self.reserved += need,
        }
        self.demand.admitted = self.demand.admitted.saturating_add(need);
        self.demand.largest = self.demand.largest.max(need);
        self.demand.last_at = Some(now);
        self.demand.peak = self.demand.peak.max(self.reserved);
        let is_low = self.balance.saturating_mul(4) < self.lease.size && self.lease.left > 0;
        (Charge { amount: need, generation: self.generation }, is_low)
    }

    /// Sets right what was taken once `actual` is known.
    pub(crate) fn settle(&mut self, charge: Charge, actual: i64, now: Instant) {
        let saved = charge.amount - actual;
        match self.limit.kind {
            LimitKind::RequestsPerMinute | LimitKind::EnqueuedTokens => {}
            LimitKind::TokensPerMinute => self.correct(charge.generation, saved, now),
            LimitKind::ConcurrentRequests => {
                self.reserved -= charge.amount;
                self.balance += charge.amount;
            }
            LimitKind::UsdPerDay | LimitKind::UsdPerMonth | LimitKind::UsdTotal => {
                self.reserved -= charge.amount;
                self.used += actual;
                self.balance += saved;
            }
        }
    }

    /// A use that is still in the window is set right where it was booked; one that has left it can only have been too little.
    fn correct(&mut self, generation: i64, saved: i64, now: Instant) {
        let is_open = generation == self.generation;
        let is_pending = self.pending.as_ref().is_some_and(|pending| pending.seq == generation);
        let is_booked = self.booked(generation).is_some_and(|booked| now < booked.until);
        if is_open || (saved < 0 && !is_pending && !is_booked) {
            self.used -= saved;
            self.balance += saved;
        } else if is_pending || is_booked {
            *self.corrections.entry(generation).or_default() -= saved;
            // What was saved comes back with the next grant: until then the store counts it, or the window has passed over it.
            self.balance += saved.min(0);
        }
    }

    /// What to tell the store, if there is anything to tell. The caller answers with [`Meter::granted`] or, when the store can't
    /// be reached, not at all: the same uses are then told again under the same number.
    pub(crate) fn report(&mut self, now: Instant) -> Option<LeaseReport> {
        let is_idle = self.used == 0 && self.corrections.is_empty() && self.pending.is_none();
        if is_idle && self.lease.held == 0 && self.demand.unmet == 0 {
            return None;
        }
        let (want, need) = (self.want(now), self.demand.smallest);
        self.demand = Demand { last_at: self.demand.last_at, largest: self.demand.largest, ..Demand::default() };
        let (seq, used, corrections) = match self.pending.take() {
            Some(pending) => (pending.seq, pending.used, pending.corrections),
            None => self.collect(now),
        };
        // What is not wanted is given up before the store hears of it, and what is kept is told as kept: requests go on while
        // the answer is on its way. A debt is told as used. Of a lease that lapsed others may have all by now.
        let most = if self.is_leased(now) { want } else { 0 };
        self.balance = self.balance.min(most).max(0);
        let reserved = if self.limit.kind.is_rate() { 0 } else { self.reserved };
        // Uses after a report that has to be repeated are in none yet.
        let keep = reserved + self.balance + self.used.max(0);
        let (want, need) = (want - self.balance, (need - self.balance).max(0));
        let sent = Sent { at: now, keep, need };
        self.pending = Some(Pending { seq, used, corrections: corrections.clone(), sent });
        Some(LeaseReport { limit: self.limit.id.clone(), seq, used, corrections, keep, want, need })
    }

    fn collect(&mut self, now: Instant) -> (i64, i64, Vec<(i64, i64)>) {
        while self.booked.pop_front_if(|booked| booked.until <= now).is_some() {}
        let mut corrections = BTreeMap::new();
        for (generation, amount) in std::mem::take(&mut self.corrections) {
            match self.booked(generation) {
                Some(booked) => *corrections.entry(booked.slot_ms).or_default() += amount,
                // Out of the window by now: what was too much is gone, what was too little counts.
                None => self.used += amount.max(0),
            }
        }
        let seq = self.generation;
        self.generation += 1;
        (seq, std::mem::take(&mut self.used), corrections.into_iter().collect())
    }

    fn booked(&self, generation: i64) -> Option<&Booked> {
        let found = self.booked.binary_search_by_key(&generation, |booked| booked.generation).ok();
        found.and_then(|index| self.booked.get(index))
    }

    /// A second's worth of what was used lately, or what is being waited for. Nothing when idle, but a little of a large limit.
    fn want(&self, now: Instant) -> i64 {
        let look = self.lease.heard_at.map_or(HORIZON, |at| now - at).clamp(SHORTEST_LOOK, HORIZON * 10);
        let recent = self.demand.admitted as f64 * HORIZON.as_secs_f64() / look.as_secs_f64();
        let recent = if self.limit.kind == LimitKind::ConcurrentRequests {
            // Slots come back: as many as ran at once lately are enough, and some more.
            if self.demand.admitted > 0 { self.demand.peak - self.reserved + self.demand.peak / 4 + 1 } else { 0 }
        } else {
            recent as i64
        };
        let is_warm = self.demand.last_at.is_some_and(|at| now < at + IDLE_HOLD);
        // A burst after a pause shall not have to wait for the database.
        let share = self.limit.amount.saturating_mul(IDLE_PERCENT) / 100;
        let idle = if is_warm && share >= self.demand.largest { share } else { 0 };
        recent.max(self.demand.unmet).max(idle)
    }

    /// Takes in the store's answer to the last report. The lease lasts for `ttl` from when that was sent: the store's own
    /// clock for it began later.
    pub(crate) fn granted(&mut self, grant: &LeaseGrant, ttl: Duration, now: Instant) {
        let Some(Pending { seq, sent, .. }) = self.pending.take() else { return };
        self.booked.push_back(Booked { generation: seq, slot_ms: grant.slot_ms, until: sent.at + WINDOW });
        self.balance += grant.balance;
        self.lease = Lease {
            held: grant.balance + sent.keep,
            until: Some(sent.at + ttl),
            heard_at: Some(now),
            left: grant.free.saturating_sub(grant.balance),
            size: self.balance,
            is_short: sent.need > 0 && grant.balance < sent.need,
            frees: grant.frees.iter().map(|(ms, amount)| (now + millis(*ms), *amount)).collect(),
            reset_at: Some(now + millis(grant.reset_ms)),
        };
    }

    /// How long until `need` can be met, as far as the store knows; none = waiting does not help.
    fn wait_for(&self, need: i64, now: Instant) -> Option<Duration> {
        let mut missing = need - self.balance.max(0);
        for (at, amount) in &self.lease.frees {
            missing = missing.saturating_sub(*amount);
            if missing <= 0 {
                return Some(at.saturating_duration_since(now));
            }
        }
        (self.limit.kind != LimitKind::UsdTotal).then_some(SOON)
    }

    /// What a caller is told.
    pub(crate) fn view(&self, now: Instant) -> RateView {
        let remaining = self.lease.left.max(0).saturating_add(self.balance.max(0)).min(self.limit.amount);
        let mine = self.demand.last_at.map_or(Duration::ZERO, |at| (at + WINDOW).saturating_duration_since(now));
        let others = self.lease.reset_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        RateView { limit: self.limit.amount, remaining, reset: mine.max(others) }
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{LimitId, SubjectKind, TenantId};

    const TTL: Duration = Duration::from_secs(15);

    fn meter(kind: LimitKind) -> Meter {
        let tenant = TenantId::from_string("t");
        let (subject_kind, subject) = (SubjectKind::Tenant, "t".to_owned());
        let id = LimitId::from_string("l");
        Meter::new(Limit { id, tenant, subject_kind, subject, model: None, kind, amount: 100 })
    }

    fn grant(balance: i64, free: i64) -> LeaseGrant {
        let limit = LimitId::from_string("l");
        LeaseGrant { limit, balance, slot_ms: 1_000, free, frees: vec![], reset_ms: 0 }
    }

    /// A meter that asked for 30 and got `balance`.
    fn leased(kind: LimitKind, balance: i64, now: Instant) -> Meter {
        let mut meter = meter(kind);
        assert_eq!(meter.check(30, None, now), Check::Ask);
        assert!(meter.report(now).is_some());
        meter.granted(&grant(balance, balance), TTL, now);
        meter
    }

    #[test]
    fn a_new_meter_asks_for_what_is_waited_for() {
        let now = Instant::now();
        let mut meter = meter(LimitKind::RequestsPerMinute);
        assert!(meter.report(now).is_none(), "nothing happened yet");

        assert_eq!([meter.check(1, None, now), meter.check(2, None, now)], [Check::Ask, Check::Ask]);
        let report = meter.report(now).unwrap();

        assert_eq!((report.want, report.need, report.keep, report.used), (3, 1, 0, 0));
    }

    #[test]
    fn what_runs_while_the_store_answers_is_covered_by_what_was_told_as_kept() {
        let now = Instant::now();
        let mut meter = leased(LimitKind::UsdTotal, 50, now);
        let (first, _) = meter.charge(30, now);

        let report = meter.report(now).unwrap();
        meter.settle(first, 10, now);
        let (_, _) = meter.charge(20, now);
        meter.granted(&grant(0, 0), TTL, now);

        assert_eq!(report.keep, 30 + 20, "what is reserved, and what may be used meanwhile");
        assert_eq!(meter.check(21, None, now), Check::Ask, "20 were saved, and no more is left");
        assert_eq!(meter.check(20, None, now), Check::Fits);
    }

    #[test]
    fn a_report_whose_answer_was_lost_is_repeated_as_it_was() {
        let now = Instant::now();
        let mut meter = leased(LimitKind::RequestsPerMinute, 30, now);
        meter.charge(1, now);
        let first = meter.report(now).unwrap();
        meter.charge(1, now);

        let again = meter.report(now).unwrap();

        assert_eq!((first.seq, first.used), (again.seq, again.used));
        assert!(again.keep > again.want.min(0), "{again:?}");
        meter.granted(&grant(0, 0), TTL, now);
        assert_eq!(meter.report(now).unwrap().used, 1);
    }

    #[test]
    fn what_was_saved_of_tokens_is_booked_where_they_were() {
        let now = Instant::now();
        let mut meter = leased(LimitKind::TokensPerMinute, 50, now);
        let (charge, _) = meter.charge(40, now);
        meter.report(now).unwrap();
        meter.granted(&grant(0, 0), TTL, now);

        meter.settle(charge, 15, now);

        assert_eq!(meter.report(now).unwrap().corrections, [(1_000, -25)]);
    }

    #[test]
    fn what_was_saved_after_the_window_is_gone_and_what_was_too_little_counts() {
        let now = Instant::now();
        let mut meter = leased(LimitKind::TokensPerMinute, 50, now);
        let (saves, _) = meter.charge(10, now);
        let (exceeds, _) = meter.charge(10, now);
        meter.report(now).unwrap();
        meter.granted(&grant(0, 0), TTL, now);
        let later = now + WINDOW;

        meter.settle(saves, 1, later);
        meter.settle(exceeds, 14, later);

        let report = meter.report(later).unwrap();
        assert_eq!((report.used, report.corrections), (4, vec![]));
    }

    #[test]
    fn slots_come_back_at_once() {
        let now = Instant::now();
        let mut meter = leased(LimitKind::ConcurrentRequests, 1, now);
        let (charge, _) = meter.charge(1, now);
        assert_ne!(meter.check(1, None, now), Check::Fits);

        meter.settle(charge, 1, now);

        assert_eq!(meter.check(1, None, now), Check::Fits);
    }

    #[test]
    fn a_burst_after_a_pause_is_admitted_from_memory() {
        let now = Instant::now();
        let mut meter = Meter {
            limit: Limit { amount: 5_000, ..meter(LimitKind::RequestsPerMinute).limit },
            ..leased(LimitKind::RequestsPerMinute, 10, now)
        };
        meter.charge(1, now);
        let later = now + HORIZON * 2;

        let report = meter.report(later).unwrap();
        meter.granted(&grant(report.want, 5_000), TTL, later);

        assert_eq!(meter.check(50, None, later), Check::Fits, "a hundredth of the limit");
        assert_eq!(meter.check(51, None, later), Check::Ask);
    }

    #[test]
    fn an_idle_meter_gives_everything_back() {
        let now = Instant::now();
        let mut meter = leased(LimitKind::UsdTotal, 50, now);
        let (charge, _) = meter.charge(10, now);
        meter.settle(charge, 10, now);
        let idle = now + IDLE_HOLD;
        meter.report(now).unwrap();
        meter.granted(&grant(0, 0), TTL, now);

        let report = meter.report(idle).unwrap();

        assert_eq!((report.want, report.keep), (0, 0));
        meter.granted(&grant(0, 0), TTL, idle);
        assert!(meter.report(idle).is_none(), "there is nothing more to say");
    }

    #[test]
    fn a_lapsed_lease_admits_nobody() {
        let now = Instant::now();
        let mut meter = leased(LimitKind::RequestsPerMinute, 30, now);

        assert_eq!(meter.check(1, None, now + TTL), Check::Ask);
        assert_eq!(meter.check(101, None, now), Check::TooLarge);
    }

    #[test]
    fn one_that_waited_while_the_store_answered_knows_that_others_were_faster() {
        let now = Instant::now();
        let mut meter = leased(LimitKind::TokensPerMinute, 30, now);
        meter.charge(20, now);
        let before = now.checked_sub(Duration::from_millis(1));

        assert_eq!(meter.check(30, None, now), Check::Ask);
        assert_eq!(meter.check(30, Some(now), now), Check::Ask, "nothing was heard since");
        assert_eq!(meter.check(30, before, now), Check::Exhausted(Some(SOON)));
    }

    #[test]
    fn what_is_left_of_a_lapsed_lease_is_given_up() {
        let now = Instant::now();
        let mut meter = leased(LimitKind::TokensPerMinute, 50, now);
        meter.charge(10, now);
        let late = now + TTL;
        assert_eq!(meter.check(10, None, late), Check::Ask);

        let report = meter.report(late).unwrap();
        meter.granted(&grant(0, 0), TTL, late);

        assert_eq!((report.used, report.keep), (10, 0));
        assert_eq!(meter.check(1, None, late), Check::Exhausted(Some(SOON)));
    }

    #[test]
    fn an_exhausted_limit_says_when_there_is_enough() {
        let now = Instant::now();
        let mut meter = meter(LimitKind::RequestsPerMinute);
        meter.check(5, None, now);
        meter.report(now).unwrap();
        let frees = vec![(1_000, 2), (3_000, 4)];
        meter.granted(&LeaseGrant { frees, ..grant(1, 1) }, TTL, now);

        assert_eq!(meter.check(1, None, now), Check::Fits);
        assert_eq!(meter.check(3, None, now), Check::Exhausted(Some(Duration::from_secs(1))));
        assert_eq!(meter.check(6, None, now), Check::Exhausted(Some(Duration::from_secs(3))));
    }
}
