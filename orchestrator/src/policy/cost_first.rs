//! The cheapest whose first token is expected in time: own GPUs first, a managed model when they are full and the caller
//! can pay for it.

use super::{EndpointView, RouteQuery, unknown_ttft};
use domain::Money;

/// In time before late, then cheap before dear; an unknown price is the dearest. Of those that are dearer than the cheapest,
/// only what the budget allows.
pub(super) fn rank(query: &RouteQuery, views: &[EndpointView]) -> Vec<usize> {
    let unknown = unknown_ttft(views).min(query.slo_ttft.as_secs_f64());
    let cheapest = views.iter().map(price).min().unwrap_or_default();
    let is_affordable = |view: &EndpointView| {
        price(view) <= cheapest || query.budget.is_none_or(|budget| price(view) <= budget.nanos())
    };
    let mut order: Vec<_> = (0..views.len()).filter(|&index| is_affordable(&views[index])).collect();
    order.sort_by(|&left, &right| {
        let (left, right) = (&views[left], &views[right]);
        let late = |view: &EndpointView| view.predicted_ttft(unknown) > query.slo_ttft.as_secs_f64();
        let key = |view: &EndpointView| (late(view), price(view), view.priority);
        key(left).cmp(&key(right)).then_with(|| left.strain(unknown).total_cmp(&right.strain(unknown)))
    });
    order
}

fn price(view: &EndpointView) -> i64 {
    view.cost.map_or(i64::MAX, Money::nanos)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::view, *};
    use std::time::Duration;

    fn query(budget: Option<i64>) -> RouteQuery {
        RouteQuery { slo_ttft: Duration::from_secs(1), budget: budget.map(Money::from_nanos), ..RouteQuery::default() }
    }

    fn own(ttft: f64, backlog: f64) -> EndpointView {
        EndpointView { cost: Some(Money::from_nanos(10)), ttft: Some(ttft), backlog, ..view(1) }
    }

    fn managed() -> EndpointView {
        EndpointView { cost: Some(Money::from_nanos(500)), ttft: Some(0.7), ..view(2) }
    }

    #[test]
    fn the_cheap_one_is_asked_while_it_is_in_time() {
        assert_eq!(rank(&query(None), &[managed(), own(0.6, 0.5)]), [1, 0]);
    }

    #[test]
    fn a_full_one_flows_over() {
        assert_eq!(rank(&query(None), &[managed(), own(0.6, 1.0)]), [0, 1]);
    }

    #[test]
    fn nothing_flows_over_what_the_caller_cannot_pay() {
        assert_eq!(rank(&query(Some(499)), &[managed(), own(0.6, 1.0)]), [1]);
        assert_eq!(rank(&query(Some(500)), &[managed(), own(0.6, 1.0)]), [0, 1]);
    }

    #[test]
    fn an_unknown_price_is_the_dearest_and_never_within_a_budget() {
        let unknown = EndpointView { cost: None, ..managed() };

        assert_eq!(rank(&query(None), &[unknown, managed()]), [1, 0]);
        assert_eq!(rank(&query(Some(1_000_000)), &[unknown, managed()]), [1]);
    }

    #[test]
    fn of_equals_the_one_with_less_to_do_is_asked() {
        let busy = EndpointView { in_flight: 9, ..own(0.5, 0.0) };

        assert_eq!(rank(&query(None), &[busy, own(0.5, 0.0)]), [1, 0]);
    }
}
