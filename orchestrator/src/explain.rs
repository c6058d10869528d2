//! How a route was chosen, for operators who ask.

use crate::{
    breaker::Condition,
    table::{Candidate, Route},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// One call that was made.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    deployment: String,
    endpoint: String,
    outcome: &'static str,
    took: Duration,
}

impl Tried {
    pub(crate) fn new(deployment: &str, endpoint: &str, outcome: &'static str, took: Duration) -> Self {
        Self { deployment: deployment.to_owned(), endpoint: endpoint.to_owned(), outcome, took }
    }
}

/// The candidates as they stand now, and the calls that were made, as JSON on one line.
pub(crate) fn explain(route: &Route, candidates: &[Candidate], tried: &[Tried]) -> String {
    let now = Instant::now();
    json!({
        "model": route.model.name,
        "policy": format!("{:?}", route.model.policy),
        "candidates": candidates.iter().map(|candidate| describe(candidate, now)).collect::<Vec<_>>(),
        "attempts": tried.iter().map(|tried| json!({
            "deployment": tried.deployment,
            "endpoint": tried.endpoint,
            "outcome": tried.outcome,
            "ms": tried.took.as_millis() as u64,
        })).collect::<Vec<_>>(),
    })
    .to_string()
}

fn describe(candidate: &Candidate, now: Instant) -> Value {
    let (view, condition) = (&candidate.view, candidate.endpoint.breaker.condition(now));
    json!({
        "deployment": candidate.deployed.deployment.name,
        "endpoint": candidate.endpoint.name,
        "priority": view.priority,
        "weight": view.weight,
        "in_flight": view.in_flight,
        "tokens": view.tokens.round(),
        "ttft_secs": view.ttft,
        "backlog": view.backlog,
        "kv_usage": candidate.endpoint.scraped().kv_usage,
        "ramp": view.ramp,
        "cost_usd_nanos": view.cost.map(domain::Money::nanos),
        "breaker": if condition == Condition::Closed && candidate.endpoint.breaker.closed_until(now).is_some() { "resting" } else { condition.as_str() },
    })
}
