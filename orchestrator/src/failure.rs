//! What a model server's refusal means: another deployment may help, or the caller has to mend the request. Names and
//! internals of the servers stay here.

use crate::retry_after;
use domain::{Error, Kind};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::time::Duration;
use wire::error::ErrorObject;

/// The code of an error that no retry, other request or other caller mends: the operator has to mend a key.
pub const CREDENTIALS_REFUSED: &str = "upstream_credentials_refused";

/// The code of a call whose connection broke before an answer began.
pub const CONNECTION_LOST: &str = "connection_lost";

/// The code of an answer that broke off.
pub const ANSWER_INCOMPLETE: &str = "answer_incomplete";

/// The code of a prompt that is longer than the model's context, as OpenAI's.
pub(crate) const CONTEXT_LENGTH_EXCEEDED: &str = "context_length_exceeded";

/// A call that gave no answer, and whose fault that is.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) blame: Blame,
}

/// Whose fault it is decides what may be tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The endpoint failed: others may do better, and it itself later.
    Endpoint,
    /// The endpoint was silent: others may do better; asking it again would take as long again.
    Silence,
    /// The endpoint has too much to do, and may have said when to come back.
    Load(Option<Duration>),
    /// The account is used up, or the key refused: no retry mends it, another deployment may.
    Account,
    /// The deployment can't do this: another one may.
    Unfit,
    /// The caller's time is up.
    Caller,
    /// A batch call gave way to an interactive one.
    Yielded,
}

impl Blame {
    /// Whether the same endpoint may be asked again for this request.
    pub(crate) fn allows_retry(self) -> bool {
        matches!(self, Self::Endpoint | Self::Load(_))
    }

    /// Whether another deployment may be asked.
    pub(crate) fn allows_failover(self) -> bool {
        !matches!(self, Self::Caller | Self::Yielded)
    }

    /// The word in metrics and explanations.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Silence => "silence",
            Self::Load(_) => "load",
            Self::Account => "account",
            Self::Unfit => "unfit",
            Self::Caller => "caller",
            Self::Yielded => "yielded",
        }
    }
}

impl Failure {
    pub(crate) fn new(blame: Blame, error: Error) -> Self {
        Self { error, blame }
    }

    /// The endpoint's fault.
    pub(crate) fn endpoint(error: Error) -> Self {
        Self::new(Blame::Endpoint, error)
    }
}

/// What to do with a refusal.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Not the caller's fault, or not for the caller to see.
    Failed(Failure),
    /// The caller's to mend; an answer like any other.
    Answer(StatusCode, ErrorObject),
}

/// A model server's error, in whichever shape it came.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct UpstreamError {
    pub(crate) message: String,
    kind: String,
    param: Option<String>,
    code: Option<String>,
    status: Option<u16>,
    retry_after: Option<Duration>,
}

/// The kind of an error that we found ourselves.
const MALFORMED: &str = "malformed";

impl From<wire::pivot::StreamError> for UpstreamError {
    fn from(error: wire::pivot::StreamError) -> Self {
        let status = error.code.as_deref().and_then(|code| code.parse().ok());
        Self { message: error.message, kind: error.kind, code: error.code, status, ..Self::default() }
    }
}

impl UpstreamError {
    /// Reads a whole error body: `{"error":{…}}`, `{"error":"…"}`, `{"detail":…}` or `{"message":…}`.
    pub(crate) fn from_body(body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        // Gemini's stream without `alt=sse`, and some proxies, answer a list.
        let value = value.get(0).unwrap_or(&value);
        match value.get("error").filter(|error| !error.is_null()) {
            Some(error) => Self::from_value(error),
            None => Self::from_value(value),
        }
    }

    /// An event or answer that is not what it must be.
    pub(crate) fn malformed(what: &str) -> Self {
        let shown: String = what.chars().take(200).collect();
        Self { kind: MALFORMED.into(), message: format!("not understood: {shown}"), ..Self::default() }
    }

    /// Reads the value of an `error` key.
    pub(crate) fn from_value(error: &Value) -> Self {
        let text =
            |key: &str| error.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let message = error.as_str().map(str::to_owned).or_else(|| text("message")).or_else(|| text("detail"));
        Self {
            message: message.unwrap_or_default(),
            kind: text("type").or_else(|| text("status")).unwrap_or_default(),
            param: text("param"),
            code: text("code"),
            status: error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()),
            retry_after: retry_delay(error),
        }
    }

    /// The status an error inside a 200 stands for.
    pub(crate) fn implied_status(&self) -> StatusCode {
        let by_code =
            self.status.filter(|status| (400..600).contains(status)).and_then(|s| StatusCode::from_u16(s).ok());
        by_code.unwrap_or_else(|| self.status_by_words())
    }

    fn status_by_words(&self) -> StatusCode {
        match (self.kind.as_str(), self.code.as_deref().unwrap_or_default()) {
            ("Service Unavailable" | "overloaded_error" | "service_unavailable_error" | "UNAVAILABLE", _)
            | (_, "server_is_overloaded" | "slow_down") => StatusCode::SERVICE_UNAVAILABLE,
            ("rate_limit_error" | "rate_limit_exceeded" | "insufficient_quota" | "RESOURCE_EXHAUSTED", _)
            | (_, "rate_limit_exceeded" | "insufficient_quota") => StatusCode::TOO_MANY_REQUESTS,
            ("BadRequestError" | "invalid_request_error" | "INVALID_ARGUMENT" | "FAILED_PRECONDITION", _) => {
                StatusCode::BAD_REQUEST
            }
            ("authentication_error" | "UNAUTHENTICATED", _) => StatusCode::UNAUTHORIZED,
            ("permission_error" | "PERMISSION_DENIED", _) => StatusCode::FORBIDDEN,
            ("timeout_error" | "DEADLINE_EXCEEDED", _) => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The account has nothing left; waiting does not help.
    fn is_quota(&self) -> bool {
        let words = [self.kind.as_str(), self.code.as_deref().unwrap_or_default()];
        words.iter().any(|word| matches!(*word, "insufficient_quota" | "credit_balance_exhausted" | "billing_error"))
    }

    /// llama.cpp blames itself for what the caller sent.
    fn is_callers_fault(&self) -> bool {
        self.message.contains("image input is not supported") || self.message.contains("audio input is not supported")
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
    let cause = cause(status, &error);
    let failed = |blame, kind, text: &str| {
        Refusal::Failed(Failure::new(blame, Error::new(kind, text).with_source(cause.clone())))
    };
    match status.as_u16() {
        402 => quota(cause),
        429 if error.is_quota() => quota(cause),
        401 | 403 => {
            let told = Error::new(Kind::BadUpstream, "The model server refused this platform's credentials.");
            Refusal::Failed(Failure::new(Blame::Account, told.with_code(CREDENTIALS_REFUSED).with_source(cause)))
        }
        408 | 504 => failed(Blame::Silence, Kind::Timeout, "The model server took too long."),
        429 => {
            let retry_after = retry_after::read(headers).or(error.retry_after);
            let text = "The model is at its rate limit; try again later.";
            failed(Blame::Load(retry_after), Kind::RateLimited { retry_after }, text)
        }
        501 => failed(Blame::Unfit, Kind::Unsupported, "The model server does not have this feature."),
        503 | 529 => {
            let wait = retry_after::read(headers);
            let told = Error::unavailable(OVERLOADED).with_source(cause);
            let told = wait.into_iter().fold(told, Error::with_retry_after);
            Refusal::Failed(Failure::new(wait.map_or(Blame::Endpoint, |wait| Blame::Load(Some(wait))), told))
        }
        404 | 405 => not_there(status, &error, names),
        400..=499 => Refusal::Answer(status, to_object(error, names)),
        500 if error.is_callers_fault() => Refusal::Answer(StatusCode::BAD_REQUEST, to_object(error, names)),
        _ if error.kind == MALFORMED => Refusal::Failed(Failure::endpoint(malformed(cause))),
        _ => failed(Blame::Endpoint, Kind::BadUpstream, "The model server failed to answer."),
    }
}

const OVERLOADED: &str = "The model is overloaded or starting; try again later.";

fn malformed(cause: String) -> Error {
    let text = "The model server sent something that is not an answer of its API.";
    Error::new(Kind::BadUpstream, text).with_code("answer_malformed").with_source(cause)
}

fn quota(cause: String) -> Refusal {
    let told = Error::new(Kind::BadUpstream, "This platform's account with the model's provider is used up.");
    Refusal::Failed(Failure::new(Blame::Account, told.with_code("upstream_quota_exhausted").with_source(cause)))
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
    Refusal::Answer(StatusCode::NOT_FOUND, chassis::error_body(&told).error)
}

/// The answer for a model that is not there, whoever says so.
pub(crate) fn unknown_model(model: &str) -> Error {
    let shown: String = model.chars().take(128).collect();
    Error::not_found(format!("The model `{shown}` does not exist or you do not have access to it."))
        .with_code("model_not_found")
        .with_param("model")
}

fn to_object(error: UpstreamError, names: Names<'_>) -> ErrorObject {
    let (param, code) = if error.is_context_length() {
        (Some("messages".to_owned()), Some(CONTEXT_LENGTH_EXCEEDED.to_owned()))
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
    ErrorObject { message, kind: "invalid_request_error".into(), param, code }
}

fn cause(status: StatusCode, error: &UpstreamError) -> String {
    let message: String = error.message.chars().take(500).collect();
    format!("model server answered {}: {message}", status.as_u16())
}

/// Google's `details: [{"retryDelay": "12s"}]`.
fn retry_delay(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
    retry_after::duration(delay)
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

            assert!(told.message.contains("public") && !told.message.contains("tiny"), "{told:?}");
        }
    }

    #[test]
    fn a_prompt_too_long_has_openais_code() {
        for body in [
            r#"{"error":{"message":"m","type":"BadRequestError","param":"input_tokens","code":400}}"#,
            r#"{"error":{"code":400,"message":"m","type":"exceed_context_size_error","n_ctx":2048}}"#,
        ] {
            let Refusal::Answer(_, told) = judged(400, body) else { panic!("{body}") };

            assert_eq!(told.code.as_deref(), Some("context_length_exceeded"));
        }
    }

    #[test]
    fn a_refusal_of_our_key_is_not_the_callers() {
        let Refusal::Failed(Failure { error, blame }) = judged(401, r#"{"error":"Unauthorized"}"#) else { panic!() };

        assert_eq!(blame, Blame::Account);
        assert_eq!((error.kind(), error.code()), (Kind::BadUpstream, Some(CREDENTIALS_REFUSED)));
        assert!(error.chain().contains("Unauthorized") && !error.message().contains("Unauthorized"));
    }

    #[test]
    fn an_account_that_is_used_up_is_never_asked_again() {
        for (status, body) in [
            (429, r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#),
            (429, r#"{"error":{"message":"m","code":"credit_balance_exhausted"}}"#),
            (402, r#"{"type":"error","error":{"type":"billing_error","message":"m"}}"#),
        ] {
            let Refusal::Failed(failure) = judged(status, body) else { panic!("{body}") };

            assert!(failure.blame == Blame::Account && !failure.blame.allows_retry(), "{body}");
        }
    }

    #[test]
    fn google_says_when_to_come_back_in_the_body() {
        let body =
            r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"12s"}]}}"#;

        let Refusal::Failed(failure) = judged(429, body) else { panic!() };

        assert_eq!(failure.blame, Blame::Load(Some(Duration::from_secs(12))));
    }

    #[test]
    fn an_image_that_llama_cpp_cannot_see_is_the_callers_fault() {
        let body =
            r#"{"error":{"code":500,"message":"image input is not supported - hint: mmproj","type":"server_error"}}"#;

        assert!(matches!(judged(500, body), Refusal::Answer(StatusCode::BAD_REQUEST, _)));
    }

    #[test]
    fn an_error_inside_a_200_has_the_status_its_words_stand_for() {
        let cases = [
            (r#"{"code":503}"#, 503),
            (r#"{"type":"overloaded_error"}"#, 503),
            (r#"{"status":"RESOURCE_EXHAUSTED"}"#, 429),
            (r#"{"code":"rate_limit_exceeded"}"#, 429),
            (r#"{"type":"invalid_request_error"}"#, 400),
            (r#"{"message":"Network connection lost."}"#, 500),
        ];
        for (error, status) in cases {
            let error = UpstreamError::from_value(&serde_json::from_str(error).unwrap());

            assert_eq!(error.implied_status().as_u16(), status, "{error:?}");
        }
    }
}
