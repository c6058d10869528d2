//! How often and how soon a request is tried again: a budget per model, so that a sick server is not stampeded, and pauses
//! of chance length, so that callers do not come back all at once.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Tries that a model has in hand when it begins, and the most it can save up.
const RESERVE: f64 = 10.0;
/// Tries that come back each second even without traffic.
const PER_SECOND: f64 = 0.5;

/// Tries that may be made on top of requests.
#[derive(Debug)]
pub(crate) struct Budget {
    share: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: f64,
    seen: Option<Instant>,
}

impl Budget {
    /// `share` extra tries for each request.
    pub(crate) fn new(share: f64) -> Self {
        Self { share, state: Mutex::new(State { left: RESERVE, seen: None }) }
    }

    /// Without the reserve that small numbers need: never more than `share` of the requests.
    pub(crate) fn strict(share: f64) -> Self {
        Self { share, state: Mutex::new(State { left: 0.0, seen: None }) }
    }

    /// Notes a request.
    pub(crate) fn deposit(&self) {
        let mut state = self.state.lock();
        state.left = (state.left + self.share).min(RESERVE);
    }

    /// Takes one try, if there is one.
    pub(crate) fn withdraw(&self) -> bool {
        let mut state = self.state.lock();
        let is_enough = state.left >= 1.0;
        if is_enough {
            state.left -= 1.0;
        }
        is_enough
    }

    /// Lets time give something back.
    pub(crate) fn refresh(&self, now: Instant) {
        let mut state = self.state.lock();
        let idle = state.seen.map_or(Duration::ZERO, |seen| now.saturating_duration_since(seen));
        state.seen = Some(now);
        state.left = (state.left + idle.as_secs_f64() * PER_SECOND).min(RESERVE);
    }
}

/// The pause before try `number` (the first retry is 1): evenly anywhere up to a bound that doubles, `chance` from 0 to 1.
pub(crate) fn pause(number: u32, chance: f64) -> Duration {
    let bound = FIRST_PAUSE.saturating_mul(1 << number.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    bound.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_tenth_of_the_requests() {
        let budget = Budget::new(0.1);
        while budget.withdraw() {}

        let granted = (0..1000).filter(|_| {
            budget.deposit();
            budget.withdraw()
        });

        assert!((98..=100).contains(&granted.count()));
    }

    #[tokio::test]
    async fn time_gives_something_back() {
        let budget = Budget::new(0.1);
        let now = Instant::now();
        budget.refresh(now);
        while budget.withdraw() {}

        budget.refresh(now + Duration::from_secs(4));

        assert_eq!([budget.withdraw(), budget.withdraw(), budget.withdraw()], [true, true, false]);
    }

    #[test]
    fn a_strict_budget_begins_empty() {
        assert!(!Budget::strict(0.05).withdraw());
    }

    #[test]
    fn pauses_are_of_chance_length_below_a_bound_that_doubles() {
        assert_eq!([pause(1, 1.0), pause(2, 1.0), pause(3, 0.5)].map(|pause| pause.as_millis()), [100, 200, 200]);
        assert_eq!(pause(60, 1.0), LONGEST_PAUSE);
        assert_eq!(pause(1, 0.0), Duration::ZERO);
    }
}
