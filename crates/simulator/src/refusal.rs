//! Errors in vLLM's shapes: a numeric `code`, its own `type` words, and the spaced-out form used inside streams.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// What happens to everybody when the engine behind the server is gone.
const ENGINE_DEAD: &str = "EngineCore encountered an issue. See stack trace (above) for the root cause.";
const BUSY: &str = "The engine is currently busy and cannot accept new requests. Please try again later or on a \
                    different instance.";

/// A request that gets no answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    kind: &'static str,
    message: String,
    param: Option<String>,
    retry_after: Option<u64>,
}

impl Refusal {
    /// A well-formed request with a value that does not work.
    pub(crate) fn bad(param: Option<&str>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequestError", message, param)
    }

    /// As [`Refusal::bad`], with the suffix that names parameter and value.
    pub(crate) fn bad_value(param: &str, value: impl std::fmt::Display, message: impl std::fmt::Display) -> Self {
        Self::bad(Some(param), format!("{message} (parameter={param}, value={value})"))
    }

    /// A body that does not fit the schema; `place` is like `body.messages`.
    pub(crate) fn schema(place: &str, reason: &str, message: &str, input: &str) -> Self {
        let text = format!(
            "1 validation error:\n  {{'type': '{reason}', 'loc': '{place}', 'msg': '{message}', 'input': {input}}}"
        );
        Self::new(StatusCode::BAD_REQUEST, "Bad Request", text, Some(place))
    }

    pub(crate) fn unknown_model(name: &str, served: &[String]) -> Self {
        let message = format!("The model `{name}` does not exist. Valid aliases: {}.", served.join(", "));
        Self::new(StatusCode::NOT_FOUND, "NotFoundError", message, Some("model"))
    }

    pub(crate) fn prompt_too_long(limit: usize) -> Self {
        let counted = limit + 1;
        Self::bad_value(
            "input_tokens",
            counted,
            format!(
                "This model's maximum context length is {limit} tokens. However, your prompt contains at least \
                 {counted} input tokens, which exceeds this limit even without any output tokens. Please reduce the \
                 length of the input prompt."
            ),
        )
    }

    pub(crate) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", BUSY, None)
    }

    pub(crate) fn engine_dead() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", ENGINE_DEAD, None)
    }

    /// An injected answer of any status.
    pub(crate) fn injected(status: StatusCode, retry_after: Option<u64>) -> Self {
        let kind = match status.as_u16() {
            400..=403 | 405..=499 => "BadRequestError",
            404 => "NotFoundError",
            503 => "Service Unavailable",
            _ => "InternalServerError",
        };
        let message = format!("Injected fault: status {}.", status.as_u16());
        Self { retry_after, ..Self::new(status, kind, message, None) }
    }

    /// The event that vLLM sends in a stream it has already begun.
    pub(crate) fn event(&self) -> String {
        format!(
            "data: {{\"error\": {{\"message\": {}, \"type\": {}, \"param\": {}, \"code\": {}}}}}\n\n",
            json!(self.message),
            json!(self.kind),
            json!(self.param),
            self.status.as_u16()
        )
    }

    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>, param: Option<&str>) -> Self {
        Self { status, kind, message: message.into(), param: param.map(str::to_owned), retry_after: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.status.as_u16(),
        }});
        let mut response = (self.status, axum::Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// `404 {"detail":"Not Found"}` and its like, as the web framework under vLLM answers.
pub(crate) fn detail(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({"detail": text}))).into_response()
}
