//! When a batch would end, as a model simple enough to be stated: every tenant with work gets its weight's part of a fleet that
//! goes on as it went lately, and what the fleet does in a time is normally distributed about that. Pure.

use std::f64::consts::SQRT_2;

/// Fewer minutes than these say nothing about how much they differ.
const FEWEST_MINUTES: usize = 3;

/// What a tenant has to do, and its part of the fleet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) weight: f64,
    pub(super) tokens: f64,
}

/// What the fleet did in a minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Throughput {
    /// Tokens a minute, on average.
    pub(super) mean: f64,
    /// How far minutes are from that; none = too few to tell.
    pub(super) deviation: Option<f64>,
}

impl Throughput {
    /// Of these minutes. `None`: nothing was measured.
    pub(super) fn of(minutes: &[i64]) -> Option<Self> {
        let count = minutes.len() as f64;
        let mean = minutes.iter().map(|tokens| *tokens as f64).sum::<f64>() / count;
        let squares: f64 = minutes.iter().map(|tokens| (*tokens as f64 - mean).powi(2)).sum();
        let deviation = (minutes.len() >= FEWEST_MINUTES).then(|| (squares / (count - 1.0)).sqrt());
        (mean > 0.0).then_some(Self { mean, deviation })
    }

    /// The chance that the fleet does less than `tokens` in `minutes`; none = not known.
    pub(super) fn chance_of_less(&self, tokens: f64, minutes: f64) -> Option<f64> {
        let deviation = self.deviation?;
        if minutes <= 0.0 {
            return Some(1.0);
        }
        let (mean, deviation) = (self.mean * minutes, deviation * minutes.sqrt());
        if deviation == 0.0 {
            return Some(if mean < tokens { 1.0 } else { 0.0 });
        }
        Some(libm::erfc((mean - tokens) / deviation / SQRT_2) / 2.0)
    }
}

/// What the fleet does until `own` is done: while it runs, nobody gets more than their weight's part beside it.
pub(super) fn tokens_until_done(own: Work, others: &[Work]) -> f64 {
    let level = own.tokens / own.weight;
    own.tokens + others.iter().map(|other| other.tokens.min(other.weight * level)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(weight: f64, tokens: f64) -> Work {
        Work { weight, tokens }
    }

    #[test]
    fn others_take_their_part_and_no_more_than_they_have() {
        for (own, others, tokens) in [
            (work(100.0, 10.0), vec![], 10.0),
            (work(100.0, 10.0), vec![work(100.0, 1_000.0)], 20.0),
            (work(100.0, 10.0), vec![work(300.0, 1_000.0)], 40.0),
            (work(100.0, 10.0), vec![work(100.0, 4.0), work(100.0, 12.0)], 24.0),
        ] {
            assert!((tokens_until_done(own, &others) - tokens).abs() < 1e-9, "{own:?} {others:?}");
        }
    }

    #[test]
    fn the_chance_is_that_of_a_normal_distribution() {
        let steady = Throughput { mean: 100.0, deviation: Some(20.0) };

        for (tokens, minutes, chance) in [
            (100.0, 1.0, 0.5),
            (120.0, 1.0, 0.841_344_746),
            (400.0 - 40.0, 4.0, 0.158_655_254),
            (1.0, 0.0, 1.0),
            (10.0, 1_000.0, 0.0),
        ] {
            let told = steady.chance_of_less(tokens, minutes).unwrap();
            assert!((told - chance).abs() < 1e-6, "{tokens} in {minutes}: {told}");
        }
        assert_eq!(Throughput { deviation: Some(0.0), ..steady }.chance_of_less(101.0, 1.0), Some(1.0));
    }

    #[test]
    fn what_was_not_measured_is_not_known() {
        assert_eq!(Throughput::of(&[]), None);
        assert_eq!(Throughput::of(&[0, 0]), None);
        assert_eq!(Throughput::of(&[90, 110]), Some(Throughput { mean: 100.0, deviation: None }));
        assert_eq!(Throughput::of(&[90, 110, 100]), Some(Throughput { mean: 100.0, deviation: Some(10.0) }));
    }
}
