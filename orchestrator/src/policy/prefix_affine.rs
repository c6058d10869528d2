//! Prompts that begin alike go where that beginning is cached: rendezvous hashing with bounded load, so that every
//! process chooses the same endpoint without asking anybody and one hot prefix never piles up on one.

use super::{EndpointView, RouteQuery, draw, least_loaded, sort_by_number};

/// No endpoint gets more than this times the mean.
const BOUND: f64 = 1.2;

pub(super) fn rank(query: &RouteQuery, views: &[EndpointView]) -> Vec<usize> {
    if query.prefix_hash == 0 {
        return least_loaded::rank(query, views);
    }
    let mut order: Vec<_> = (0..views.len()).collect();
    sort_by_number(&mut order, |index| {
        -draw(query.prefix_hash, views[index].hash).ln() / views[index].weight.max(f64::MIN_POSITIVE)
    });
    let shares: f64 = views.iter().map(share).sum();
    let total: f64 = views.iter().map(|view| view.tokens).sum::<f64>() + query.tokens;
    let has_room = |index: usize| {
        let view = &views[index];
        view.tokens + query.tokens <= BOUND * total * share(view) / shares || view.tokens == 0.0
    };
    let (mut roomy, mut full): (Vec<_>, Vec<_>) = order.into_iter().partition(|&index| has_room(index));
    sort_by_number(&mut full, |index| views[index].tokens / share(&views[index]));
    roomy.extend(full);
    roomy
}

fn share(view: &EndpointView) -> f64 {
    (view.weight * view.ramp).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::view, *};

    fn query(prefix_hash: u64) -> RouteQuery {
        RouteQuery { prefix_hash, tokens: 10.0, ..RouteQuery::default() }
    }

    fn first(prefix: u64, views: &[EndpointView]) -> usize {
        rank(&query(prefix), views)[0]
    }

    #[test]
    fn the_same_prefix_goes_to_the_same_endpoint_wherever_it_stands_in_the_list() {
        let views = [view(11), view(22), view(33)];
        let turned = [view(33), view(11), view(22)];
        for prefix in 1..100 {
            assert_eq!(views[first(prefix, &views)].hash, turned[first(prefix, &turned)].hash);
        }
    }

    #[test]
    fn prefixes_are_spread_evenly() {
        let views = [view(11), view(22), view(33)];

        let mut counts = [0; 3];
        (1..=3000).for_each(|prefix| counts[first(prefix, &views)] += 1);

        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }

    #[test]
    fn an_endpoint_that_goes_takes_only_its_own_prefixes_along() {
        let all = [view(11), view(22), view(33)];
        for prefix in 1..100 {
            let before = all[first(prefix, &all)].hash;
            let after = all[first(prefix, &all[..2])].hash;

            assert!(before == 33 || before == after);
        }
    }

    #[test]
    fn a_hot_prefix_flows_over_to_the_next() {
        let mut views = [view(11), view(22)];
        for _ in 0..1000 {
            let chosen = first(7, &views);
            views[chosen].tokens += 10.0;
        }

        let most = views[0].tokens.max(views[1].tokens);
        assert!(most / 5000.0 <= BOUND + 0.01, "{views:?}");
    }

    #[test]
    fn without_a_prefix_load_decides() {
        let views = [EndpointView { in_flight: 3, ..view(1) }, view(2)];

        assert_eq!(first(0, &views), 1);
    }
}
