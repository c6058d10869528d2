//! The one error that crosses crates. `message` is safe to show a client, `source` is for the log.

use std::{error::Error as StdError, fmt, time::Duration};

/// The result of anything that can fail across a crate boundary.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, one to one with an HTTP status (the mapping lives in `chassis`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 400: the request cannot be served as it is, now or later.
    InvalidRequest,
    /// 401: no credentials, or credentials we do not accept.
    Unauthenticated,
    /// 403: known caller, not allowed.
    PermissionDenied,
    /// 404: no such thing, or not the caller's.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 409: the thing is in a state that forbids this.
    Conflict,
    /// 413: more bytes than allowed.
    TooLarge,
    /// 415: a content type nobody here reads.
    UnsupportedMediaType,
    /// 422: well formed, and at odds with an earlier request.
    Unprocessable,
    /// 429: too much for now.
    RateLimited {
        /// When to come back, if known.
        retry_after: Option<Duration>,
    },
    /// 500: our fault.
    Internal,
    /// 501: a real feature that this deployment does not have.
    Unsupported,
    /// 502: the model server answered nonsense, or refused our credentials.
    BadUpstream,
    /// 503: cannot serve now, another replica or a later try may.
    Unavailable,
    /// 504: a deadline passed.
    Timeout,
}

impl Kind {
    /// Whether the same request may succeed elsewhere or later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. } | Self::BadUpstream | Self::Unavailable | Self::Timeout | Self::Internal
        )
    }
}

/// A failure with a text for the client and, apart from it, a cause for the log. Small: results carry it everywhere.
pub struct Error(Box<Parts>);

struct Parts {
    kind: Kind,
    message: String,
    code: Option<String>,
    param: Option<String>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// `message` says what was wrong, where, and what is allowed. It reaches the client: no secrets, no internals.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Parts { kind, message, code: None, param: None, retry_after: None, source: None }))
    }

    /// A 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidRequest, message)
    }

    /// A 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// A 500 whose cause goes to the log only.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Internal, "The server had an error while processing your request.").with_source(source)
    }

    /// A 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// Names the machine-readable code, as OpenAI's `error.code`.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Names the offending parameter, as OpenAI's `error.param`.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    /// Says when to come back, where the kind does not say it.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Attaches the cause, which is logged and never shown.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The text for the client.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The machine-readable code, if any.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The offending parameter, if any.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        self.0.param.as_deref()
    }

    /// When to come back, if known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            Kind::RateLimited { retry_after } => retry_after.or(self.0.retry_after),
            _ => self.0.retry_after,
        }
    }

    /// The whole chain of causes on one line, for the log.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.0.message.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_in_the_chain_and_not_in_the_text() {
        let error = Error::internal(std::io::Error::other("disk on fire"));

        assert!(error.chain().contains("disk on fire"));
        assert!(!error.to_string().contains("disk on fire"));
    }
}
