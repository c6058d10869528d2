//! The last measurements of something, and their 95th percentile.

use parking_lot::Mutex;
use std::{collections::VecDeque, time::Duration};

const KEPT: usize = 128;
/// Fewer say nothing about the slowest twentieth.
const ENOUGH: usize = 20;

/// The last measurements.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<Duration>>);

impl Recent {
    pub(crate) fn saw(&self, measured: Duration) {
        let mut kept = self.0.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(measured);
    }

    /// What nineteen of twenty stay below; `None` while too few are known.
    pub(crate) fn p95(&self) -> Option<Duration> {
        let mut sorted: Vec<_> = self.0.lock().iter().copied().collect();
        if sorted.len() < ENOUGH {
            return None;
        }
        let at = (sorted.len() * 95).div_ceil(100) - 1;
        Some(*sorted.select_nth_unstable(at).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nineteen_of_twenty_stay_below() {
        let recent = Recent::default();

        (1..=100).for_each(|millis| recent.saw(Duration::from_millis(millis)));

        assert_eq!(recent.p95(), Some(Duration::from_millis(95)));
    }

    #[test]
    fn old_measurements_are_forgotten_and_few_say_nothing() {
        let recent = Recent::default();
        (0..19).for_each(|_| recent.saw(Duration::from_secs(9)));
        let few = recent.p95();

        (0..KEPT).for_each(|_| recent.saw(Duration::from_secs(1)));

        assert_eq!((few, recent.p95()), (None, Some(Duration::from_secs(1))));
    }
}
