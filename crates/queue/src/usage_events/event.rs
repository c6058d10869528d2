//! A usage event as its readers see it: `infra/schemas/usage_event.proto`, as JSON. A promise to others, so it has names of its
//! own, and only ever gains fields.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::Money;
use serde::Serialize;
use store::LedgerRow;

/// One record of the ledger, as an event. What is not known is absent; the schema says what each field is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct UsageEvent<'a> {
    pub(super) event_id: &'a str,
    pub(super) occurred_at: String,
    pub(super) tenant_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batch_id: Option<&'a str>,
    pub(super) request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace_id: Option<&'a str>,
    pub(super) class: &'a str,
    pub(super) dialect: &'a str,
    pub(super) model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployment: Option<&'a str>,
    pub(super) status: i64,
    pub(super) outcome: &'a str,
    pub(super) input_tokens: i64,
    pub(super) output_tokens: i64,
    pub(super) cached_tokens: i64,
    pub(super) cache_write_tokens: i64,
    pub(super) reasoning_tokens: i64,
    pub(super) is_estimated: bool,
    pub(super) is_cached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost_usd: Option<String>,
    pub(super) latency_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttft_ms: Option<i64>,
}

impl<'a> From<&'a LedgerRow> for UsageEvent<'a> {
    fn from(row: &'a LedgerRow) -> Self {
        Self {
            event_id: &row.id,
            occurred_at: time(row.at_ms),
            tenant_id: &row.tenant_id,
            key_id: row.key_id.as_deref(),
            principal: row.principal.as_deref(),
            batch_id: row.batch_id.as_deref(),
            request_id: &row.request_id,
            trace_id: row.trace_id.as_deref(),
            class: &row.class,
            dialect: &row.dialect,
            model: &row.model,
            deployment: row.deployment.as_deref(),
            status: row.status,
            outcome: &row.outcome,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            cached_tokens: row.cached_tokens,
            cache_write_tokens: row.cache_write_tokens,
            reasoning_tokens: row.reasoning_tokens,
            is_estimated: row.is_estimated,
            is_cached: row.is_cached,
            cost_usd: row.cost_nanos.map(|nanos| Money::from_nanos(nanos).to_usd()),
            latency_ms: row.latency_ms,
            ttft_ms: row.ttft_ms,
        }
    }
}

fn time(at_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(at_ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests;
