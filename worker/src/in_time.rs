//! Answers of the database that never come. A host that is gone without a word leaves its connections open; whoever waits on one
//! would wait for ever, while heartbeats over another connection keep the lease of his work alive.

use domain::{Error, Result};
use std::{future::Future, time::Duration};

/// Every statement of a worker is done well before this, or is safe to repeat.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a question to the database becomes when it is not waited for longer than is sensible.
pub(crate) trait InTime<T>: Future<Output = Result<T>> + Sized {
    /// The answer, or `Unavailable` when it takes too long. It may have been carried out all the same.
    async fn in_time(self) -> Result<T> {
        let answer = tokio::time::timeout(PATIENCE, self).await;
        answer.unwrap_or_else(|_| Err(Error::unavailable("The database did not answer in time.")))
    }
}

impl<T, F: Future<Output = Result<T>>> InTime<T> for F {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_database_is_an_error_that_may_be_tried_again() {
        let silent = std::future::pending::<Result<()>>();

        let error = silent.in_time().await.unwrap_err();

        assert!(error.kind().is_retryable());
    }
}
