//! Why a request with a key gets no outcome of its own.

use domain::{Error, Kind};

/// The ways to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The key belongs to another request.
    Reused,
    /// There is an outcome, and it was too large to keep.
    TooLarge,
    /// The table of outcomes can't be asked.
    Unreachable,
    /// Whoever ran the request ended without an outcome.
    Lost,
    /// Whoever ran the request failed in a way that nobody foresaw.
    Failed,
}

impl Refusal {
    pub(super) fn error(self) -> Error {
        match self {
            Self::Reused => Error::new(
                Kind::Unprocessable,
                "This idempotency key was used for another request; a new request needs a new key.",
            )
            .with_code("idempotency_key_reused")
            .with_param(super::said::IDEMPOTENCY_KEY.as_str()),
            Self::TooLarge => Error::new(
                Kind::Conflict,
                "The request with this idempotency key was answered, and its answer is too large to be replayed. \
                 A request with a new key runs again.",
            )
            .with_code("idempotent_outcome_too_large"),
            Self::Unreachable => Error::unavailable(
                "Whether this request was answered before can't be looked up right now; send it again shortly.",
            ),
            Self::Lost => Error::unavailable(
                "The request with this idempotency key that ran already ended without an answer; send it again.",
            )
            .with_code("idempotent_request_lost"),
            Self::Failed => Error::internal("the task that ran a request with an idempotency key panicked"),
        }
    }
}
