//! By chance, in proportion to weights: canaries.

use super::{EndpointView, RouteQuery, draw, sort_by_number};

/// Each endpoint draws `-ln(chance) / weight`; the smallest draw wins with a probability in proportion to its weight.
pub(super) fn rank(query: &RouteQuery, views: &[EndpointView]) -> Vec<usize> {
    let mut order: Vec<_> = (0..views.len()).collect();
    sort_by_number(&mut order, |index| {
        let share = (views[index].weight * views[index].ramp).max(f64::MIN_POSITIVE);
        -draw(query.dice, index as u64).ln() / share
    });
    order
}

#[cfg(test)]
mod tests {
    use super::{super::tests::view, *};

    #[test]
    fn a_canary_gets_its_share() {
        let views = [EndpointView { weight: 95.0, ..view(1) }, EndpointView { weight: 5.0, ..view(2) }];

        let first = |dice| rank(&RouteQuery { dice, ..RouteQuery::default() }, &views)[0];
        let canary = (0..10_000).filter(|dice| first(*dice) == 1).count();

        assert!((400..600).contains(&canary), "{canary}");
    }
}
