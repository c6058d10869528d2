//! A record as it lies in its row, under the names of the columns: what is written, and what is claimed to be published.

use super::copy::Out;
use crate::row::Columns;
use domain::{BatchId, KeyId, Result, ShortText, TraceId, UsageRecord};
use serde::Serialize;
use sqlx::any::AnyRow;
use std::borrow::Cow;

/// The longest text of a caller in the ledger, such as a model that does not exist.
const MAX_CHARS: usize = 256;

/// A record with the names and units of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of `UsageRecord`, flat")]
pub struct LedgerRow {
    pub id: String,
    pub at_ms: i64,
    pub tenant_id: String,
    pub key_id: Option<String>,
    pub principal: Option<String>,
    pub batch_id: Option<String>,
    pub request_id: String,
    pub trace_id: Option<String>,
    pub class: String,
    pub dialect: String,
    pub model: String,
    pub deployment: Option<String>,
    pub status: i64,
    pub outcome: String,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cached_tokens: i64,
    pub cache_write_tokens: i64,
    pub reasoning_tokens: i64,
    pub is_estimated: bool,
    pub is_cached: bool,
    pub cost_nanos: Option<i64>,
    pub latency_ms: i64,
    pub ttft_ms: Option<i64>,
}

/// A record on its way into its row. It borrows and leaves out what most records don't have: many are written each second.
#[derive(Serialize)]
pub(super) struct NewRow<'a> {
    id: &'a str,
    at_ms: i64,
    tenant_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<&'a str>,
    request_id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<ShortText>,
    class: &'static str,
    dialect: &'static str,
    model: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<Cow<'a, str>>,
    status: i64,
    outcome: &'static str,
    input_tokens: i64,
    output_tokens: i64,
    #[serde(skip_serializing_if = "is_zero")]
    cached_tokens: i64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_write_tokens: i64,
    #[serde(skip_serializing_if = "is_zero")]
    reasoning_tokens: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_estimated: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_cached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_nanos: Option<i64>,
    latency_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttft_ms: Option<i64>,
}

impl<'a> From<&'a UsageRecord> for NewRow<'a> {
    fn from(record: &'a UsageRecord) -> Self {
        let UsageRecord { usage, .. } = record;
        Self {
            id: record.id.as_str(),
            at_ms: record.at_ms,
            tenant_id: record.tenant.as_str(),
            key_id: record.key.as_ref().map(KeyId::as_str),
            principal: record.principal.as_deref().map(told),
            batch_id: record.batch.as_ref().map(BatchId::as_str),
            request_id: told(record.request.as_str()),
            trace_id: record.trace_id.as_ref().map(TraceId::text),
            class: record.class.as_str(),
            dialect: record.dialect,
            model: told(&record.model),
            deployment: record.deployment.as_deref().map(told),
            status: i64::from(record.status),
            outcome: record.outcome.as_str(),
            input_tokens: count(usage.input),
            output_tokens: count(usage.output),
            cached_tokens: count(usage.cached),
            cache_write_tokens: count(usage.cache_write),
            reasoning_tokens: count(usage.reasoning),
            is_estimated: record.is_estimated,
            is_cached: record.is_cached,
            cost_nanos: record.cost.map(domain::Money::nanos),
            latency_ms: record.latency_ms,
            ttft_ms: record.ttft_ms,
        }
    }
}

impl NewRow<'_> {
    /// The same fields in the order of [`super::COLUMNS`].
    pub(super) fn copy_to(&self, out: &mut Out) {
        out.row(24);
        out.text(self.id);
        out.int(self.at_ms);
        out.text(self.tenant_id);
        out.opt_text(self.key_id);
        out.opt_text(self.principal.as_deref());
        out.opt_text(self.batch_id);
        out.text(&self.request_id);
        out.opt_text(self.trace_id.as_deref());
        out.text(self.class);
        out.text(self.dialect);
        out.text(&self.model);
        out.opt_text(self.deployment.as_deref());
        out.int(self.status);
        out.text(self.outcome);
        out.int(self.input_tokens);
        out.int(self.output_tokens);
        out.int(self.cached_tokens);
        out.int(self.cache_write_tokens);
        out.int(self.reasoning_tokens);
        out.int(self.is_estimated.into());
        out.int(self.is_cached.into());
        out.opt_int(self.cost_nanos);
        out.int(self.latency_ms);
        out.opt_int(self.ttft_ms);
    }
}

impl LedgerRow {
    pub(super) fn read(row: &AnyRow) -> Result<Self> {
        let columns = Columns(row);
        Ok(Self {
            id: columns.text("id")?,
            at_ms: columns.int("at_ms")?,
            tenant_id: columns.text("tenant_id")?,
            key_id: columns.opt_text("key_id")?,
            principal: columns.opt_text("principal")?,
            batch_id: columns.opt_text("batch_id")?,
            request_id: columns.text("request_id")?,
            trace_id: columns.opt_text("trace_id")?,
            class: columns.text("class")?,
            dialect: columns.text("dialect")?,
            model: columns.text("model")?,
            deployment: columns.opt_text("deployment")?,
            status: columns.int("status")?,
            outcome: columns.text("outcome")?,
            input_tokens: columns.int("input_tokens")?,
            output_tokens: columns.int("output_tokens")?,
            cached_tokens: columns.int("cached_tokens")?,
            cache_write_tokens: columns.int("cache_write_tokens")?,
            reasoning_tokens: columns.int("reasoning_tokens")?,
            is_estimated: columns.int("is_estimated")? != 0,
            is_cached: columns.int("is_cached")? != 0,
            cost_nanos: columns.opt_int("cost_nanos")?,
            latency_ms: columns.int("latency_ms")?,
            ttft_ms: columns.opt_int("ttft_ms")?,
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// Text that may be a caller's: bounded, and without the one character that PostgreSQL refuses. One record must not keep
/// the others of its statement out.
fn told(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_CHARS && !text.contains('\0') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(MAX_CHARS).map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

/// A server may claim any number.
fn count(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX).min(MAX_TOKENS)
}

/// So large that no answer has as many, so small that a sum of a billion of them fits.
const MAX_TOKENS: i64 = 1_000_000_000;
