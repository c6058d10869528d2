//! In which order the endpoints of a model are asked. Pure: what a policy needs of clock and chance is in the query.

mod cost_first;
mod least_loaded;
mod prefix_affine;
mod weighted;

use crate::catalog::PolicyName;
use domain::Money;
use std::{cmp::Ordering, time::Duration};

/// What a policy knows of the request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RouteQuery {
    /// Equal for prompts that begin alike; 0 = unknown.
    pub(crate) prefix_hash: u64,
    /// Tokens that the request is expected to take, prompt and answer.
    pub(crate) tokens: f64,
    /// Evenly distributed over all values.
    pub(crate) dice: u64,
    /// Counts the requests of the model.
    pub(crate) turn: usize,
    /// The time to the first token that is good enough.
    pub(crate) slo_ttft: Duration,
    /// What the caller may still spend on this request; none = no limit.
    pub(crate) budget: Option<Money>,
}

/// What a policy knows of one endpoint of one deployment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndpointView {
    /// The deployment's priority; lower ones come first.
    pub(crate) priority: i64,
    /// The deployment's share among equals, divided among its endpoints.
    pub(crate) weight: f64,
    /// The same for the same address, in every process.
    pub(crate) hash: u64,
    /// Calls that run now.
    pub(crate) in_flight: usize,
    /// Tokens given to it lately: those in flight, and a fading memory of those before.
    pub(crate) tokens: f64,
    /// Seconds to the first token, if any was seen; fades when it has not been asked for long.
    pub(crate) ttft: Option<f64>,
    /// Requests that wait in the server's own queue, for each that runs.
    pub(crate) backlog: f64,
    /// Calls that it can be expected to carry at once.
    pub(crate) capacity: f64,
    /// From nearly 0 for an endpoint that has just started to 1.
    pub(crate) ramp: f64,
    /// What this request is expected to cost; none = not known.
    pub(crate) cost: Option<Money>,
}

impl EndpointView {
    /// Seconds after which the first token of another request is expected. Who has been asked and has never answered is
    /// trusted less with each request.
    fn predicted_ttft(&self, unknown: f64) -> f64 {
        self.ttft.unwrap_or(unknown * (1.0 + self.in_flight as f64)) * (1.0 + self.backlog)
    }

    /// How bad it would be to add a request; only the order means something.
    fn strain(&self, unknown: f64) -> f64 {
        let crowd = 1.0 + self.in_flight as f64 / self.capacity;
        self.predicted_ttft(unknown).max(0.001) * crowd / (self.weight * self.ramp).max(f64::MIN_POSITIVE)
    }
}

/// The time to the first token to assume of an endpoint that has never answered: as the best of the others.
fn unknown_ttft(views: &[EndpointView]) -> f64 {
    views.iter().filter_map(|view| view.ttft).min_by(f64::total_cmp).unwrap_or(1.0)
}

/// Orders `views`, giving their positions: by priority first, then as the policy says. Some may be left out.
pub(crate) fn rank(policy: PolicyName, query: &RouteQuery, views: &[EndpointView]) -> Vec<usize> {
    let mut order = match policy {
        PolicyName::Priority => (0..views.len()).collect(),
        PolicyName::RoundRobin => round_robin(query, views.len()),
        PolicyName::Weighted => weighted::rank(query, views),
        PolicyName::LeastLoaded => least_loaded::rank(query, views),
        PolicyName::PrefixAffine => prefix_affine::rank(query, views),
        PolicyName::CostFirst => cost_first::rank(query, views),
    };
    if policy != PolicyName::CostFirst {
        order.sort_by_key(|&index| views[index].priority);
    }
    order
}

fn round_robin(query: &RouteQuery, count: usize) -> Vec<usize> {
    (0..count).map(|index| (query.turn.wrapping_add(index)) % count).collect()
}

/// Sorts positions by a number, the smallest first.
fn sort_by_number(order: &mut [usize], number: impl Fn(usize) -> f64) {
    order.sort_by(|&left, &right| number(left).partial_cmp(&number(right)).unwrap_or(Ordering::Equal));
}

/// A number from above 0 to 1 that depends on both arguments and looks like chance.
fn draw(seed: u64, index: u64) -> f64 {
    let mixed = xxhash_rust::xxh3::xxh3_64_with_seed(&index.to_le_bytes(), seed);
    ((mixed >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn view(hash: u64) -> EndpointView {
        EndpointView {
            priority: 0,
            weight: 1.0,
            hash,
            in_flight: 0,
            tokens: 0.0,
            ttft: None,
            backlog: 0.0,
            capacity: 32.0,
            ramp: 1.0,
            cost: None,
        }
    }

    #[test]
    fn a_lower_priority_number_comes_first_whatever_the_policy() {
        let views = [
            EndpointView { priority: 1, ..view(1) },
            EndpointView { in_flight: 100, ..view(2) },
            EndpointView { priority: 2, ..view(3) },
        ];
        for policy in [
            PolicyName::Priority,
            PolicyName::RoundRobin,
            PolicyName::Weighted,
            PolicyName::LeastLoaded,
            PolicyName::PrefixAffine,
        ] {
            for dice in 0..20 {
                let query = RouteQuery { dice, turn: dice as usize, ..RouteQuery::default() };

                assert_eq!(rank(policy, &query, &views), [1, 0, 2], "{policy:?}");
            }
        }
    }

    #[test]
    fn turns_go_round() {
        let views = [view(1), view(2)];

        let first = |turn| rank(PolicyName::RoundRobin, &RouteQuery { turn, ..RouteQuery::default() }, &views)[0];

        assert_eq!([first(0), first(1), first(2), first(usize::MAX)], [0, 1, 0, 1]);
    }

    #[test]
    fn nothing_ranks_as_nothing() {
        for policy in [PolicyName::RoundRobin, PolicyName::LeastLoaded, PolicyName::PrefixAffine, PolicyName::CostFirst]
        {
            assert!(rank(policy, &RouteQuery::default(), &[]).is_empty());
        }
    }
}
