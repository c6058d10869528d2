//! What a request cost: one record in the ledger. Never text of prompts or answers.

use crate::{BatchId, Class, KeyId, Money, RequestId, TenantId, TraceId, Usage, UsageId};
use std::sync::Arc;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// The answer reached its end.
    Complete,
    /// The caller left before the end.
    Cancelled,
    /// The answer began and was cut.
    Broken,
    /// There was no answer, or one that is an error.
    Failed,
}

impl RequestOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Complete, Self::Cancelled, Self::Broken, Self::Failed];

    /// Its word in JSON and SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
            Self::Broken => "broken",
            Self::Failed => "failed",
        }
    }

    /// The outcome of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// One request, or one line of a batch, in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageRecord {
    /// Makes writing it twice the same as writing it once. Ours: a caller may send one `x-request-id` many times.
    pub id: UsageId,
    /// When the request began, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who pays.
    pub tenant: TenantId,
    /// The key that asked, if one did.
    pub key: Option<KeyId>,
    /// The principal that asked, if one did.
    pub principal: Option<String>,
    /// The batch, if it is a line of one.
    pub batch: Option<BatchId>,
    /// The request's name in headers and logs.
    pub request: RequestId,
    /// Its trace.
    pub trace_id: Option<TraceId>,
    /// Who waited.
    pub class: Class,
    /// The API it was written for.
    pub dialect: &'static str,
    /// The model that answered, else the one asked for.
    pub model: Arc<str>,
    /// The deployment that answered.
    pub deployment: Option<Arc<str>>,
    /// HTTP status of the answer.
    pub status: u16,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// Tokens.
    pub usage: Usage,
    /// Whether the tokens are a guess of ours.
    pub is_estimated: bool,
    /// Whether it was an answer given before.
    pub is_cached: bool,
    /// What it cost; none = the price is not known.
    pub cost: Option<Money>,
    /// From the request to the end of its answer, in milliseconds.
    pub latency_ms: i64,
    /// From the request to the first byte of the answer's body, in milliseconds.
    pub ttft_ms: Option<i64>,
}
