//! What a model server's refusal means: another deployment may help, or the caller has to mend the request. Names and
//! internals of the servers stay here.

use domain::{Error, Kind};
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use serde_json::Value;
use std::time::Duration;
use wire::error::{ErrorBody, ErrorObject};

/// The code of an error that no retry, other request or other caller mends: the operator has to mend a key.
pub const CREDENTIALS_REFUSED: &str = "upstream_credentials_refused";

/// What to do with a refusal.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Not the caller's fault, or not for the caller to see.
    Failed(Error),
    /// The caller's to mend; an answer like any other.
    Answer(StatusCode, ErrorBody),
}

/// A model server's error, in whichever shape it came.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct UpstreamError {
    pub(crate) message: String,
    kind: String,
    param: Option<String>,
    code: Option<String>,
    status: Option<u16>,
}

impl UpstreamError {
    /// Reads a whole error body: `{"error":{…}}`, `{"error":"…"}`, `{"detail":…}` or `{"message":…}`.
    pub(crate) fn from_body(body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        match value.get("error").filter(|error| !error.is_null()) {
            Some(error) => Self::from_value(error),
            None => Self::from_value(&value),
        }
    }

    /// Reads the value of an `error` key.
    pub(crate) fn from_value(error: &Value) -> Self {
        let text =
            |key: &str| error.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let message = error.as_str().map(str::to_owned).or_else(|| text("message")).or_else(|| text("detail"));
        Self {
            message: message.unwrap_or_default(),
            kind: text("type").unwrap_or_default(),
            param: text("param"),
            code: text("code"),
            status: error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()),
        }
    }

    /// The status an error inside a 200 stands for.
    pub(crate) fn implied_status(&self) -> StatusCode {
        let by_code =
            self.status.filter(|status| (400..600).contains(status)).and_then(|s| StatusCode::from_u16(s).ok());
        by_code.unwrap_or(match self.kind.as_str() {
            "Service Unavailable" | "overloaded_error" | "service_unavailable_error" => StatusCode::SERVICE_UNAVAILABLE,
            "rate_limit_error" | "rate_limit_exceeded" => StatusCode::TOO_MANY_REQUESTS,
            "BadRequestError" | "invalid_request_error" => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        })
    }

    fn is_context_length(&self) -> bool {
        self.param.as_deref() == Some("input_tokens") || self.kind == "exceed_context_size_error"
    }
}

/// The names a refusal is told with.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    /// What the caller calls the model.
    pub(crate) model: &'a str,
    /// What the server calls it.
    pub(crate) upstream_model: &'a str,
    /// The path the caller used.
    pub(crate) path: &'a str,
}

/// Judges an answer that is no 2xx.
pub(crate) fn judge(status: StatusCode, headers: &HeaderMap, error: UpstreamError, names: Names<'_>) -> Refusal {
    let failed = |kind, text: &str| Refusal::Failed(Error::new(kind, text).with_source(cause(status, &error)));
    match status.as_u16() {
        401 | 403 => {
            let told = Error::new(Kind::BadUpstream, "The model server refused this platform's credentials.");
            Refusal::Failed(told.with_code(CREDENTIALS_REFUSED).with_source(cause(status, &error)))
        }
        408 | 504 => failed(Kind::Timeout, "The model server took too long."),
        429 => failed(
            Kind::RateLimited { retry_after: retry_after(headers) },
            "The model is at its rate limit; try again later.",
        ),
        501 => failed(Kind::Unsupported, "The model server does not have this feature."),
        503 | 529 => failed(Kind::Unavailable, "The model is overloaded or starting; try again later."),
        404 | 405 => not_there(status, &error, names),
        400..=499 => Refusal::Answer(status, to_body(error, names)),
        _ => failed(Kind::BadUpstream, "The model server failed to answer."),
    }
}

fn not_there(status: StatusCode, error: &UpstreamError, names: Names<'_>) -> Refusal {
    let is_model = error.param.as_deref() == Some("model")
        || error.code.as_deref() == Some("model_not_found")
        || error.kind == "NotFoundError";
    let told = if is_model {
        unknown_model(names.model)
    } else {
        Error::not_found(format!("The model `{}` is not served at {}.", names.model, names.path)).with_param("model")
    };
    // The deployment lacks what the catalog promises; another one may have it.
    tracing::warn!(status = status.as_u16(), message = %error.message, "a model server lacks model or path");
    Refusal::Answer(StatusCode::NOT_FOUND, chassis::error_body(&told))
}

/// The answer for a model that is not there, whoever says so.
pub(crate) fn unknown_model(model: &str) -> Error {
    let shown: String = model.chars().take(128).collect();
    Error::not_found(format!("The model `{shown}` does not exist or you do not have access to it."))
        .with_code("model_not_found")
        .with_param("model")
}

fn to_body(error: UpstreamError, names: Names<'_>) -> ErrorBody {
    let (param, code) = if error.is_context_length() {
        (Some("messages".to_owned()), Some("context_length_exceeded".to_owned()))
    } else {
        (error.param, error.code)
    };
    let message = if error.message.is_empty() {
        "The model server refused the request.".to_owned()
    } else if names.upstream_model.is_empty() || names.upstream_model == names.model {
        error.message
    } else {
        error.message.replace(names.upstream_model, names.model)
    };
    ErrorBody { error: ErrorObject { message, kind: "invalid_request_error".into(), param, code } }
}

fn cause(status: StatusCode, error: &UpstreamError) -> String {
    let message: String = error.message.chars().take(500).collect();
    format!("model server answered {}: {message}", status.as_u16())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names { model: "public", upstream_model: "tiny", path: "/v1/chat/completions" };

    fn judged(status: u16, body: &str) -> Refusal {
        let status = StatusCode::from_u16(status).unwrap();
        judge(status, &HeaderMap::new(), UpstreamError::from_body(body.as_bytes()), NAMES)
    }

    #[test]
    fn a_servers_names_do_not_leak() {
        let unknown = r#"{"error":{"message":"The model `x` does not exist. Valid aliases: tiny.","type":"NotFoundError","param":"model","code":404}}"#;
        for (status, body) in [
            (404, unknown),
            (404, r#"{"detail":"Not Found"}"#),
            (400, r#"{"error":{"message":"tiny is not a multimodal model","code":400}}"#),
        ] {
            let Refusal::Answer(_, told) = judged(status, body) else { panic!("{body}") };

            assert!(told.error.message.contains("public") && !told.error.message.contains("tiny"), "{told:?}");
        }
    }

    #[test]
    fn a_prompt_too_long_has_openais_code() {
        for body in [
            r#"{"error":{"message":"m","type":"BadRequestError","param":"input_tokens","code":400}}"#,
            r#"{"error":{"code":400,"message":"m","type":"exceed_context_size_error","n_ctx":2048}}"#,
        ] {
            let Refusal::Answer(_, told) = judged(400, body) else { panic!("{body}") };

            assert_eq!(told.error.code.as_deref(), Some("context_length_exceeded"));
        }
    }

    #[test]
    fn a_refusal_of_our_key_is_not_the_callers() {
        let Refusal::Failed(error) = judged(401, r#"{"error":"Unauthorized"}"#) else { panic!() };

        assert_eq!((error.kind(), error.code()), (Kind::BadUpstream, Some(CREDENTIALS_REFUSED)));
        assert!(error.chain().contains("Unauthorized") && !error.message().contains("Unauthorized"));
    }
}
