//! Google's shape of an error, as a body of its own or amid a stream.

use crate::pivot::StreamError;
use serde::Deserialize;
use serde_json::{Number, Value};

/// What Google says went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status, which amid a stream is told nowhere else.
    pub code: Option<u16>,
    /// The status in a word, as `RESOURCE_EXHAUSTED`.
    pub status: String,
    /// For people.
    pub message: String,
}

#[derive(Deserialize)]
struct Details {
    code: Option<Number>,
    status: Option<String>,
    message: Option<String>,
}

/// Reads an error; none if `body` is something else.
#[must_use]
pub fn read_error(body: &[u8]) -> Option<Failure> {
    let body: Value = serde_json::from_slice(body).ok()?;
    // An error of a stream that was not asked for as SSE comes in a list.
    let error = body.get(0).unwrap_or(&body).get("error").filter(|error| error.is_object())?;
    let error = Details::deserialize(error).ok()?;
    Some(Failure {
        code: error.code.and_then(|code| code.as_u64()).and_then(|code| code.try_into().ok()),
        status: error.status.unwrap_or_default(),
        message: error.message.unwrap_or_default(),
    })
}

impl From<Failure> for StreamError {
    fn from(failure: Failure) -> Self {
        Self { kind: failure.status, code: failure.code.map(|code| code.to_string()), message: failure.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_alone_and_in_a_list() {
        let body =
            r#"{"error":{"code":429,"message":"Resource exhausted.","status":"RESOURCE_EXHAUSTED","details":[]}}"#;
        let expected =
            Failure { code: Some(429), status: "RESOURCE_EXHAUSTED".into(), message: "Resource exhausted.".into() };

        assert_eq!(read_error(body.as_bytes()), Some(expected.clone()));
        assert_eq!(read_error(format!("[{body}]").as_bytes()), Some(expected));
    }

    #[test]
    fn anything_else_is_no_error() {
        for body in ["", "[]", "{}", r#"[{"candidates":[]}]"#, r#"{"error":null}"#, r#"{"candidates":[]}"#, "<html>"] {
            assert_eq!(read_error(body.as_bytes()), None, "{body}");
        }
    }
}
