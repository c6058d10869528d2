//! How long one call may still take, at each of its stages.

use crate::catalog::Timeouts;
use domain::{Error, Kind, Result};
use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    timeouts: Timeouts,
    begun: Instant,
    end: Instant,
}

impl Limits {
    pub(crate) fn new(timeouts: Timeouts, deadline: Option<std::time::Instant>) -> Self {
        let begun = Instant::now();
        let end = begun + timeouts.total;
        Self { timeouts, begun, end: deadline.map_or(end, |deadline| end.min(deadline.into())) }
    }

    /// Until when the whole answer must be there.
    pub(crate) fn total(&self) -> Instant {
        self.end
    }

    /// Until when the first event must be there.
    pub(crate) fn first_token(&self) -> Instant {
        self.end.min(self.begun + self.timeouts.first_token)
    }

    /// Until when the next piece must be there.
    pub(crate) fn next(&self) -> Instant {
        self.end.min(Instant::now() + self.timeouts.idle)
    }

    /// Waits for `work`, but not beyond `until`.
    pub(crate) async fn within<T>(&self, until: Instant, work: impl Future<Output = T>) -> Result<T> {
        tokio::time::timeout_at(until, work).await.map_err(|_| {
            let seconds = self.begun.elapsed().as_secs_f32();
            Error::new(
                Kind::Timeout,
                format!("The model did not answer in time: it was silent too long, {seconds:.1} s after the request."),
            )
        })
    }
}
