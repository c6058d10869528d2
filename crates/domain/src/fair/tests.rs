//! The order as a table, and what holds of it whatever the tenants do.

use super::*;
use proptest::prelude::*;

fn contender(finish: i64, in_flight: i64) -> Contender {
    Contender { weight: DEFAULT_WEIGHT, finish, in_flight, cap: None, head: Progress::default() }
}

#[test]
fn the_earliest_start_is_next() {
    let capped = Contender { cap: Some(1), ..contender(0, 1) };
    for (clock, contenders, expected) in [
        (0, vec![], None),
        (0, vec![contender(7, 0), contender(3, 5)], Some(1)),
        (9, vec![contender(7, 1), contender(3, 0)], Some(1)),
        (9, vec![contender(7, 0), contender(3, 1)], Some(0)),
        (0, vec![contender(7, 0), capped], Some(0)),
        (0, vec![capped], None),
    ] {
        assert_eq!(next(clock, &contenders), expected, "{clock} {contenders:?}");
    }
}

#[test]
fn idleness_saves_nothing_up() {
    let newcomer = contender(0, 0);

    let slot = newcomer.slot(5_000, 10);

    assert_eq!(slot, Slot { start: 5_000, finish: 5_100 });
}

#[test]
fn a_batch_gets_more_the_later_it_is() {
    let at =
        |tokens_done, left_ms| Progress { tokens: 1_000, tokens_done, left_ms, window_ms: 100, ..Progress::default() };
    for (progress, share) in [
        (at(0, 100), 1_000),
        (at(900, 50), 1_000),
        (at(0, 50), 2_000),
        (at(500, 25), 2_000),
        (at(0, 1), 4_000),
        (at(0, -5), 4_000),
        (at(1_000, 0), 1_000),
        (Progress { priority: Priority::Idle, ..at(0, 1) }, 125),
        (Progress::default(), 1_000),
    ] {
        assert_eq!(progress.share(), share, "{progress:?}");
    }
}

#[test]
fn estimates_are_corrected_by_what_was_used() {
    let learned = Progress { tokens_done: 100, tokens_used: 350, ..Progress::default() };

    assert_eq!((learned.expect(10), Progress::default().expect(10)), (35, 10));
}

/// Tenants that always have work, served one shard after the other; gives the tokens each one got.
fn serve(weights: &[i64], shards: &[i64]) -> Vec<i64> {
    let mut tenants: Vec<_> = weights.iter().map(|weight| Contender { weight: *weight, ..contender(0, 0) }).collect();
    let (mut clock, mut got) = (0, vec![0; weights.len()]);
    for tokens in shards {
        let at = next(clock, &tenants).unwrap();
        let slot = tenants[at].slot(clock, *tokens);
        (clock, tenants[at].finish) = (slot.start, slot.finish);
        got[at] += tokens;
    }
    got
}

proptest! {
    #[test]
    fn shares_are_as_the_weights_but_for_a_shard_each(
        weights in prop::collection::vec(1..=MAX_WEIGHT, 2..6),
        shards in prop::collection::vec(1..=500_000_i64, 1..400),
    ) {
        let got = serve(&weights, &shards);

        let largest = *shards.iter().max().unwrap() as f64;
        let share = |at: usize| got[at] as f64 / weights[at] as f64;
        for (a, b) in (0..weights.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let bound = largest / weights[a] as f64 + largest / weights[b] as f64;
            // Whole steps of the clock round each shard by up to one.
            let rounding = shards.len() as f64 / 1_000.0;
            prop_assert!((share(a) - share(b)).abs() <= bound + rounding, "{got:?} of {weights:?}");
        }
    }

    #[test]
    fn a_newcomer_is_served_before_anybody_is_served_twice(
        weights in prop::collection::vec(1..=MAX_WEIGHT, 1..8),
        before in prop::collection::vec(1..=500_000_i64, 0..50),
        tokens in 1..=500_000_i64,
    ) {
        let mut tenants: Vec<_> = weights.iter().map(|weight| Contender { weight: *weight, ..contender(0, 0) }).collect();
        let mut clock = 0;
        let mut serve = |tenants: &mut Vec<Contender>, tokens| {
            let at = next(clock, tenants).unwrap();
            let slot = tenants[at].slot(clock, tokens);
            (clock, tenants[at].finish) = (slot.start, slot.finish);
            at
        };
        for tokens in before {
            serve(&mut tenants, tokens);
        }

        tenants.push(contender(0, 0));
        let newcomer = tenants.len() - 1;
        let mut order = Vec::new();
        while order.last() != Some(&newcomer) {
            prop_assert!(order.len() < tenants.len(), "{order:?}");
            order.push(serve(&mut tenants, tokens));
        }
    }

    #[test]
    fn parts_add_up_to_the_whole(whole in 0..=i64::MAX, steps in prop::collection::vec(1..50_usize, 1..20)) {
        let of = steps.iter().sum();
        let (mut done, mut sum) = (0, 0);
        for step in steps {
            sum += prorate(whole, done + step, of) - prorate(whole, done, of);
            done += step;
        }
        prop_assert_eq!(sum, whole);
    }
}
