//! Keeps calls away from an endpoint that fails: after some failures in a row it is closed off for a while, then one call
//! at a time may probe it. Only faults of the endpoint count, never the caller's.

use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Failures in a row that open the breaker.
const THRESHOLD: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A recovered endpoint is found again at most this long after.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The breaker of one endpoint. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breaker(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// How often it opened since the last success.
    trips: u32,
    /// No call before this.
    closed_off: Option<Instant>,
    is_probing: bool,
    /// Asked by the endpoint itself (429) to stay away; says nothing about its health.
    resting: Option<Instant>,
}

/// What a breaker is, for metrics and explanations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Closed,
    Open,
    HalfOpen,
}

impl Condition {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The right to make one call. Dropped without a verdict it counts for nothing.
#[derive(Debug)]
pub(crate) struct Pass {
    breaker: Breaker,
    is_probe: bool,
}

impl Breaker {
    pub(crate) fn condition(&self, now: Instant) -> Condition {
        match self.0.lock().closed_off {
            None => Condition::Closed,
            Some(until) if now < until => Condition::Open,
            Some(_) => Condition::HalfOpen,
        }
    }

    /// When a call may be tried; `None` = now.
    pub(crate) fn closed_until(&self, now: Instant) -> Option<Instant> {
        let state = self.0.lock();
        let probing = state.is_probing.then(|| now + FIRST_PAUSE);
        [state.closed_off, state.resting, probing].into_iter().flatten().filter(|until| *until > now).max()
    }

    /// The right to a call now, if there is one.
    pub(crate) fn enter(&self, now: Instant) -> Option<Pass> {
        let mut state = self.0.lock();
        if state.resting.is_some_and(|until| now < until) {
            return None;
        }
        match state.closed_off {
            None => Some(Pass { breaker: self.clone(), is_probe: false }),
            Some(until) if now < until || state.is_probing => None,
            Some(_) => {
                state.is_probing = true;
                Some(Pass { breaker: self.clone(), is_probe: true })
            }
        }
    }

    /// Stays away until `until`, as the endpoint asked.
    pub(crate) fn rest(&self, until: Instant) {
        let mut state = self.0.lock();
        state.resting = state.resting.max(Some(until));
    }
}

impl Pass {
    /// The endpoint answered. It may still fail amid its answer.
    pub(crate) fn succeeded(&mut self) {
        if std::mem::take(&mut self.is_probe) {
            self.breaker.0.lock().is_probing = false;
        }
        let mut state = self.breaker.0.lock();
        (state.failures, state.trips, state.closed_off) = (0, 0, None);
    }

    /// The endpoint failed.
    pub(crate) fn failed(&mut self, now: Instant) {
        let mut state = self.breaker.0.lock();
        // Calls that were under way when it opened say nothing new.
        if !self.is_probe && state.closed_off.is_some() {
            return;
        }
        state.failures += 1;
        if self.is_probe || state.failures >= THRESHOLD {
            let pause = FIRST_PAUSE.saturating_mul(1 << state.trips.min(10)).min(LONGEST_PAUSE);
            (state.failures, state.trips, state.closed_off) = (0, state.trips + 1, Some(now + pause));
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.0.lock().is_probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(breaker: &Breaker, now: Instant) -> Condition {
        breaker.condition(now)
    }

    fn broken(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        (0..THRESHOLD).for_each(|_| breaker.enter(now).unwrap().failed(now));
        breaker
    }

    #[tokio::test]
    async fn failures_in_a_row_open_it_and_nobody_enters() {
        let now = Instant::now();
        let breaker = broken(now);

        assert_eq!(after(&breaker, now), Condition::Open);
        assert!(breaker.enter(now).is_none());
        assert_eq!(breaker.closed_until(now), Some(now + FIRST_PAUSE));
    }

    #[tokio::test]
    async fn calls_that_were_under_way_when_it_opened_do_not_close_it_off_for_longer() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let mut calls: Vec<_> = (0..50).map(|_| breaker.enter(now).unwrap()).collect();

        calls.iter_mut().for_each(|call| call.failed(now));

        assert_eq!(breaker.closed_until(now), Some(now + FIRST_PAUSE));
    }

    #[tokio::test]
    async fn a_success_between_keeps_it_closed() {
        let (breaker, now) = (Breaker::default(), Instant::now());

        for _ in 0..THRESHOLD {
            (1..THRESHOLD).for_each(|_| breaker.enter(now).unwrap().failed(now));
            breaker.enter(now).unwrap().succeeded();
        }

        assert_eq!(after(&breaker, now), Condition::Closed);
    }

    #[tokio::test]
    async fn one_probe_at_a_time_and_its_success_closes_it() {
        let now = Instant::now();
        let breaker = broken(now);
        let later = now + FIRST_PAUSE;

        let mut probe = breaker.enter(later).unwrap();
        assert!(breaker.enter(later).is_none());
        probe.succeeded();

        assert_eq!(after(&breaker, later), Condition::Closed);
        assert!(breaker.enter(later).is_some());
    }

    #[tokio::test]
    async fn a_probe_that_was_given_up_lets_the_next_one_in() {
        let now = Instant::now();
        let breaker = broken(now);
        let later = now + FIRST_PAUSE;

        drop(breaker.enter(later).unwrap());

        assert!(breaker.enter(later).is_some());
    }

    #[tokio::test]
    async fn each_failed_probe_waits_longer_but_never_beyond_the_longest_pause() {
        let mut now = Instant::now();
        let breaker = broken(now);
        let mut pauses = Vec::new();

        for _ in 0..6 {
            let until = breaker.closed_until(now).unwrap();
            pauses.push((until - now).as_secs());
            now = until;
            breaker.enter(now).unwrap().failed(now);
        }

        assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
    }

    #[tokio::test]
    async fn an_endpoint_that_asked_for_rest_gets_it_and_is_not_broken() {
        let (breaker, now) = (Breaker::default(), Instant::now());

        breaker.rest(now + Duration::from_secs(7));

        assert!(breaker.enter(now + Duration::from_secs(6)).is_none());
        assert!(breaker.enter(now + Duration::from_secs(7)).is_some());
        assert_eq!(after(&breaker, now), Condition::Closed);
    }
}
