//! How much somebody may use.

use crate::{LimitId, TenantId};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitKind {
    /// Requests that begin within any 60 seconds.
    RequestsPerMinute,
    /// Tokens, in and out, of requests that begin within any 60 seconds.
    TokensPerMinute,
    /// Requests that run at once.
    ConcurrentRequests,
    /// Spend in a day of UTC, in nano-USD.
    UsdPerDay,
    /// Spend in a month of UTC, in nano-USD.
    UsdPerMonth,
    /// Spend since the limit was made, in nano-USD.
    UsdTotal,
    /// Estimated tokens of lines of batches that have no record yet.
    EnqueuedTokens,
}

impl LimitKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::RequestsPerMinute,
        Self::TokensPerMinute,
        Self::ConcurrentRequests,
        Self::UsdPerDay,
        Self::UsdPerMonth,
        Self::UsdTotal,
        Self::EnqueuedTokens,
    ];

    /// Its word in JSON, SQL and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::ConcurrentRequests => "concurrent_requests",
            Self::UsdPerDay => "usd_per_day",
            Self::UsdPerMonth => "usd_per_month",
            Self::UsdTotal => "usd_total",
            Self::EnqueuedTokens => "enqueued_tokens",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether it bounds spend.
    #[must_use]
    pub fn is_budget(self) -> bool {
        matches!(self, Self::UsdPerDay | Self::UsdPerMonth | Self::UsdTotal)
    }

    /// Whether it bounds what begins within a minute.
    #[must_use]
    pub fn is_rate(self) -> bool {
        matches!(self, Self::RequestsPerMinute | Self::TokensPerMinute)
    }
}

/// Whom a limit binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectKind {
    /// Everybody who acts for a tenant, together.
    Tenant,
    /// One key.
    Key,
    /// One OIDC subject or service account.
    Principal,
}

impl SubjectKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Tenant, Self::Key, Self::Principal];

    /// Its word in JSON and SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Principal => "principal",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A bound on what one subject may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Its id.
    pub id: LimitId,
    /// Whose subject it binds.
    pub tenant: TenantId,
    /// What kind of subject.
    pub subject_kind: SubjectKind,
    /// The id of the tenant or key, or the name of the principal.
    pub subject: String,
    /// The model it counts; none = all together.
    pub model: Option<String>,
    /// What is counted.
    pub kind: LimitKind,
    /// How many requests, tokens or nano-USD.
    pub amount: i64,
}
