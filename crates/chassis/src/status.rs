//! The one table from the kind of an error to what a client sees of it.

use ::http::StatusCode;
use domain::{Error, Kind};
use wire::error::{ErrorBody, ErrorObject};

/// The HTTP status of a kind.
#[must_use]
pub fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::InvalidRequest => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::PermissionDenied => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::BadUpstream => StatusCode::BAD_GATEWAY,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// OpenAI's `error.type` of a kind.
#[must_use]
pub fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidRequest
        | Kind::Unauthenticated
        | Kind::NotFound
        | Kind::MethodNotAllowed
        | Kind::Conflict
        | Kind::TooLarge
        | Kind::UnsupportedMediaType
        | Kind::Unprocessable
        | Kind::Unsupported => "invalid_request_error",
        Kind::PermissionDenied => "permission_error",
        Kind::RateLimited { .. } => "rate_limit_error",
        Kind::Internal | Kind::BadUpstream | Kind::Unavailable | Kind::Timeout => "server_error",
    }
}

/// The body a client reads: OpenAI's four keys, never the cause.
#[must_use]
pub fn error_body(error: &Error) -> ErrorBody {
    ErrorBody {
        error: ErrorObject {
            message: error.message().to_owned(),
            // OpenAI's clients tell a spent budget from a limit that passes by either of the two.
            kind: error.code().filter(|code| *code == "insufficient_quota").unwrap_or(type_of(error.kind())).to_owned(),
            param: error.param().map(str::to_owned),
            code: error.code().map(str::to_owned),
        },
    }
}
