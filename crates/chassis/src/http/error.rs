//! An error as an HTTP answer.

use crate::{error_body, status_of};
use axum::response::{IntoResponse, Response};
use domain::{Error, Kind};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

/// What handlers return: the domain's error with its HTTP face. A 5xx is logged here, once, with its causes.
#[derive(Debug)]
pub struct ApiError(pub Error);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = status_of(self.0.kind());
        log(&self.0, status);
        plain(&self.0, status)
    }
}

fn log(error: &Error, status: StatusCode) {
    let chain = error.chain();
    match error.kind() {
        Kind::Internal => tracing::error!(status = status.as_u16(), "{chain}"),
        _ if status.is_server_error() => tracing::warn!(status = status.as_u16(), "{chain}"),
        _ => tracing::debug!(status = status.as_u16(), "{chain}"),
    }
}

/// The answer without a log line, for errors that were logged where they happened. Its extensions hold the `ErrorBody`, for
/// APIs with other words for it.
pub(super) fn plain(error: &Error, status: StatusCode) -> Response {
    let told = error_body(error);
    let mut response = (status, told.to_json()).into_response();
    response.extensions_mut().insert(told);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(secs) = retry_after_secs(error) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}

/// Whole seconds, rounded up: a client that comes back early is refused again.
fn retry_after_secs(error: &Error) -> Option<u64> {
    match (error.retry_after(), error.kind()) {
        (Some(wait), _) => Some(wait.as_millis().div_ceil(1000).max(1) as u64),
        // Another replica may answer at once, but a herd must not.
        (None, Kind::Unavailable) => Some(1),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let wait = |kind, millis| Error::new(kind, "m").with_retry_after(Duration::from_millis(millis));
        let limited = Kind::RateLimited { retry_after: None };

        assert_eq!(retry_after_secs(&wait(limited, 0)), Some(1));
        assert_eq!(retry_after_secs(&wait(Kind::Unavailable, 1001)), Some(2));
        assert_eq!(retry_after_secs(&Error::unavailable("m")), Some(1));
        assert_eq!(retry_after_secs(&Error::new(limited, "m")), None);
        assert_eq!(retry_after_secs(&Error::invalid("m")), None);
    }
}
