//! What a line cost, as a record of the ledger. It is written with the segment that holds the line's answer: there is never one
//! without the other.

use crate::line::Line;
use chrono::Utc;
use domain::{Money, RequestContext, RequestOutcome, Usage, UsageId, UsageRecord};
use http::StatusCode;
use orchestrator::{Dialect, Served};
use std::time::Instant;

/// When a line was begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    at: Instant,
    at_ms: i64,
}

/// What its last call gave.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    pub(crate) usage: Usage,
    pub(crate) is_estimated: bool,
    pub(crate) served: Option<Served>,
}

impl Begun {
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), at_ms: Utc::now().timestamp_millis() }
    }
}

/// The record of a line that was called and answered with `status`.
pub(crate) fn record(
    line: &Line,
    context: &RequestContext,
    (dialect, model): (Dialect, &str),
    begun: Begun,
    (status, spent): (StatusCode, Spent),
) -> UsageRecord {
    let served = spent.served.unwrap_or_default();
    // What used nothing costs nothing, whatever the price is.
    let cost = if served.is_cached || spent.usage.total() == 0 { Some(Money::ZERO) } else { served.cost };
    let outcome = if status.is_success() { RequestOutcome::Complete } else { RequestOutcome::Failed };
    UsageRecord {
        id: UsageId::generate(),
        at_ms: begun.at_ms,
        tenant: line.tenant.clone(),
        key: None,
        principal: None,
        batch: Some(line.batch.clone()),
        request: context.request_id.clone(),
        trace_id: context.trace.map(|trace| trace.trace_id),
        class: context.class,
        dialect: dialect.as_str(),
        model: if served.model.is_empty() { model.into() } else { served.model },
        deployment: Some(served.deployment).filter(|name| !name.is_empty()),
        status: status.as_u16(),
        outcome,
        usage: spent.usage,
        is_estimated: spent.is_estimated,
        is_cached: served.is_cached,
        cost,
        latency_ms: i64::try_from(begun.at.elapsed().as_millis()).unwrap_or(i64::MAX),
        ttft_ms: None,
    }
}
