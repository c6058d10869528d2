//! What travels with a request from the edge to the model and back.

use crate::{KeyId, Money, RequestId, TenantId, TraceContext};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Who waits for the answer. Interactive is never queued behind batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A person or a program waits.
    #[default]
    Interactive,
    /// Nobody waits for this one answer.
    Batch,
}

impl Class {
    /// The label in metrics and headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
        }
    }
}

/// Made once at the edge, passed by reference everywhere.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Echoed as `x-request-id`.
    pub request_id: RequestId,
    /// For whom the work is done.
    pub tenant: TenantId,
    /// The key that asked, if a key did.
    pub key: Option<KeyId>,
    /// Who waits.
    pub class: Class,
    /// Its place in a trace, to hand on.
    pub trace: Option<TraceContext>,
    /// After this nobody wants the answer any more.
    pub deadline: Option<Instant>,
    /// What the caller may wish for besides the answer.
    pub wishes: Wishes,
}

impl RequestContext {
    /// Its place in a trace as W3C's `traceparent` writes it.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.trace.as_ref().map(TraceContext::traceparent)
    }
}

/// What a caller may wish for besides the answer. The default wishes for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The most that this one answer may cost; none = no limit.
    pub budget: Option<Money>,
    /// Whether an answer given before will do; none = as the model's operator thinks best.
    pub cache: Option<bool>,
    /// Whether to tell how the route was chosen.
    pub explain: bool,
}
