//! The better of two that are chosen by chance: no herd runs to the one that looked best a moment ago.

use super::{EndpointView, RouteQuery, sort_by_number, unknown_ttft};

pub(super) fn rank(query: &RouteQuery, views: &[EndpointView]) -> Vec<usize> {
    let mut order: Vec<_> = (0..views.len()).collect();
    let unknown = unknown_ttft(views);
    sort_by_number(&mut order, |index| views[index].strain(unknown));
    if views.len() > 2 {
        prefer(&mut order, pair(query.dice, views.len()));
    }
    order
}

/// Two different positions.
fn pair(dice: u64, count: usize) -> (usize, usize) {
    let count = count as u64;
    let first = dice % count;
    let second = (first + 1 + (dice / count) % (count - 1)) % count;
    (first as usize, second as usize)
}

/// Puts the better of the pair in front; the rest stays in order, for failing over.
fn prefer(order: &mut Vec<usize>, pair: (usize, usize)) {
    if let Some(at) = order.iter().position(|&index| index == pair.0 || index == pair.1) {
        let chosen = order.remove(at);
        order.insert(0, chosen);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::view, *};

    fn first(dice: u64, views: &[EndpointView]) -> usize {
        rank(&RouteQuery { dice, ..RouteQuery::default() }, views)[0]
    }

    #[test]
    fn of_two_the_one_with_less_to_do_is_asked() {
        let views = [EndpointView { in_flight: 5, ..view(1) }, EndpointView { in_flight: 4, ..view(2) }];

        assert_eq!(first(0, &views), 1);
    }

    #[test]
    fn a_slow_endpoint_is_asked_only_when_the_fast_one_is_overrun() {
        let slow = EndpointView { ttft: Some(0.5), ..view(1) };
        let fast = |in_flight| EndpointView { ttft: Some(0.1), in_flight, ..view(2) };

        assert_eq!([first(0, &[slow, fast(32)]), first(0, &[slow, fast(200)])], [1, 0]);
    }

    #[test]
    fn who_has_not_answered_yet_is_not_trusted_with_more() {
        let silent = |in_flight| EndpointView { in_flight, ..view(1) };
        let known = EndpointView { ttft: Some(0.1), in_flight: 8, ..view(2) };

        assert_eq!([first(0, &[silent(0), known]), first(0, &[silent(1), known])], [0, 1]);
    }

    #[test]
    fn requests_that_wait_in_the_server_count() {
        let views =
            [EndpointView { ttft: Some(0.1), backlog: 2.0, ..view(1) }, EndpointView { ttft: Some(0.2), ..view(2) }];

        assert_eq!(first(0, &views), 1);
    }

    #[test]
    fn the_worst_of_three_is_never_asked_first_and_the_best_not_always() {
        let views = [0, 1, 2].map(|in_flight| EndpointView { in_flight, ..view(in_flight as u64) });

        let mut counts = [0; 3];
        (0..600).for_each(|dice| counts[first(dice, &views)] += 1);

        assert_eq!(counts, [400, 200, 0]);
    }

    #[test]
    fn an_endpoint_that_has_just_started_gets_little() {
        let fresh = EndpointView { ramp: 0.1, ttft: Some(0.1), ..view(1) };
        let busy = |in_flight| EndpointView { in_flight, ttft: Some(0.1), ..view(2) };

        assert_eq!([first(0, &[fresh, busy(32)]), first(0, &[fresh, busy(400)])], [1, 0]);
    }

    #[test]
    fn a_pair_is_two_different_ones() {
        for dice in 0..1000 {
            let (left, right) = pair(dice, 5);

            assert!(left != right && left < 5 && right < 5);
        }
    }
}
