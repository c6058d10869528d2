//! Anthropic's shape of an error, as a body of its own or amid a stream.

use crate::pivot::StreamError;
use serde_json::{Value, json};

const KINDS: [&str; 11] = [
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "overloaded_error",
    "timeout_error",
    "api_error",
];

/// The body of an error answer with this HTTP status.
#[must_use]
pub fn error_body(status: u16, message: &str) -> Value {
    write(kind_of(status), message)
}

/// What ends a stream that failed.
pub(super) fn of_stream(error: &StreamError) -> Value {
    let status = || error.code.as_deref()?.parse().ok().filter(|status| (400..600).contains(status));
    // Clients know only Anthropic's own kinds.
    let own = KINDS.contains(&error.kind.as_str()).then_some(error.kind.as_str());
    write(own.or_else(|| status().map(kind_of)).unwrap_or("api_error"), &error.message)
}

fn write(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message } })
}

fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_kind() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (402, "billing_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (409, "conflict_error"),
            (413, "request_too_large"),
            (422, "invalid_request_error"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (502, "api_error"),
            (503, "overloaded_error"),
            (504, "timeout_error"),
            (529, "overloaded_error"),
        ] {
            let body = error_body(status, "Why.");

            assert_eq!(body, json!({"type": "error", "error": {"type": kind, "message": "Why."}}));
        }
    }

    #[test]
    fn a_streams_error_is_told_in_a_kind_that_clients_know() {
        for (kind, code, expected) in [
            ("overloaded_error", None, "overloaded_error"),
            ("RESOURCE_EXHAUSTED", Some("429"), "rate_limit_error"),
            ("server_error", Some("rate_limit_exceeded"), "api_error"),
            ("server_error", Some("7"), "api_error"),
        ] {
            let error = StreamError { kind: kind.into(), code: code.map(Into::into), message: String::new() };

            assert_eq!(of_stream(&error)["error"]["type"], expected);
        }
    }
}
