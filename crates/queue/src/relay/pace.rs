//! How long it is from one round of publishing to the next: not at all while there is much, ever longer while it fails.

use std::time::Duration;

/// Records of one round. Messages of one request to Pub/Sub: at most 1,000 and 10 MB, and an event is far below 8 kB.
pub(crate) const MOST: i64 = 1_000;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pace of one publisher.
pub(super) struct Pace {
    idle: Duration,
    failures: u32,
}

impl Pace {
    pub(super) fn new(idle: Duration) -> Self {
        Self { idle, failures: 0 }
    }

    /// A round published so many; gives the pause to the next.
    pub(super) fn went_well(&mut self, published: usize) -> Duration {
        self.failures = 0;
        let was_full = i64::try_from(published).is_ok_and(|published| published >= MOST);
        if was_full { Duration::ZERO } else { self.idle.mul_f64(rand::random_range(0.5..1.5)) }
    }

    /// A round failed; gives the pause to the next.
    pub(super) fn failed(&mut self) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        pause.mul_f64(rand::random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_make_rounds_rare() {
        let mut pace = Pace::new(Duration::from_secs(1));

        let pauses: Vec<_> = (0..12).map(|_| pace.failed()).collect();

        assert!(pauses[0] < FIRST_PAUSE && pauses[11] >= LONGEST_PAUSE / 2, "{pauses:?}");
    }

    #[test]
    fn a_full_round_is_followed_at_once() {
        let mut pace = Pace::new(Duration::from_secs(1));

        assert_eq!(pace.went_well(1_000), Duration::ZERO);
        assert!(pace.went_well(3) >= Duration::from_millis(500));
    }
}
