//! How often what the object store could not do is tried again, where doing it twice is fine.

use backon::ExponentialBuilder;
use domain::Error;
use std::time::Duration;

/// Six more tries within about ten seconds.
pub(crate) fn budget() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(6)
        .with_jitter()
}

/// Whether another try may end otherwise.
pub(crate) fn is_worth_it(error: &Error) -> bool {
    error.kind().is_retryable()
}
