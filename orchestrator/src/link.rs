//! What the internal service and its client say to each other: who asks, as headers; the answer, as framed pieces of
//! kind, length and payload, so that a cut is never taken for an end.

use crate::{Frame, Outcome, Served};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use chassis::trace::TRACEPARENT;
use domain::{Class, Error, KeyId, Kind, Money, RequestContext, RequestId, TenantId, TraceContext, Usage, Wishes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

pub(crate) const CALL_PATH: &str = "/internal/call/";
pub(crate) const MODELS_PATH: &str = "/internal/models";
pub(crate) const DEPLOYMENTS_PATH: &str = "/internal/deployments";
pub(crate) const CONTENT_TYPE: &str = "application/x-tandem-frames";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TENANT: HeaderName = HeaderName::from_static("x-tandem-tenant");
const KEY: HeaderName = HeaderName::from_static("x-tandem-key");
const CLASS: HeaderName = HeaderName::from_static("x-tandem-class");
const DEADLINE: HeaderName = HeaderName::from_static("x-tandem-deadline-ms");
const BUDGET: HeaderName = HeaderName::from_static("x-tandem-budget-nanos");
const CACHE: HeaderName = HeaderName::from_static("x-tandem-cache");
const EXPLAIN: HeaderName = HeaderName::from_static("x-tandem-explain");
/// Asks to be told when the request goes out: the answer then begins at once, with pieces that say so.
pub(crate) const TELL_SENDING: HeaderName = HeaderName::from_static("x-tandem-tell-sending");
pub(crate) const BETAS: HeaderName = HeaderName::from_static("anthropic-beta");

const HEAD: u8 = b'H';
const SENDING: u8 = b'S';
const DATA: u8 = b'D';
const END: u8 = b'E';
const PREFIX: usize = 5;
const MAX_PIECE: usize = 512 << 20;

/// The first piece of an answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AnswerHead {
    pub(crate) served: Option<Served>,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

/// One piece of an answer.
#[derive(Debug)]
pub(crate) enum Piece {
    Head(AnswerHead),
    /// The request goes out to a model server. Only for those who asked, before the head or an end with an error.
    Sending,
    /// A frame, and how many tokens have been handed on with it.
    Frame(Frame, u64),
}

#[derive(Serialize, Deserialize)]
struct End {
    usage: Option<Usage>,
    is_estimated: bool,
    finish: Option<String>,
    error: Option<Failure>,
    served: Option<Served>,
}

/// An error between two processes. Its cause stays in the log of the process that had it.
#[derive(Serialize, Deserialize)]
struct Failure {
    status: u16,
    retry_after_ms: Option<u64>,
    message: String,
    code: Option<String>,
    param: Option<String>,
}

/// The context as headers. The deadline travels as time left: clocks differ.
pub(crate) fn to_headers(ctx: &RequestContext) -> HeaderMap {
    let left = ctx.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_millis().to_string());
    let wishes = &ctx.wishes;
    let budget = wishes.budget.map(|budget| budget.nanos().to_string());
    let traceparent = ctx.traceparent();
    let values = [
        (BUDGET, budget.as_deref()),
        (CACHE, wishes.cache.map(|cache| if cache { "on" } else { "off" })),
        (EXPLAIN, wishes.explain.then_some("1")),
        (REQUEST_ID, Some(ctx.request_id.as_str())),
        (TENANT, Some(ctx.tenant.as_str())),
        (KEY, ctx.key.as_ref().map(KeyId::as_str)),
        (CLASS, Some(ctx.class.as_str())),
        (DEADLINE, left.as_deref()),
        (TRACEPARENT, traceparent.as_deref()),
    ];
    let present = values.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(value?).ok()?)));
    present.collect()
}

/// The context from headers.
pub(crate) fn from_headers(headers: &HeaderMap) -> RequestContext {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let left = text(&DEADLINE).and_then(|left| left.parse().ok()).map(Duration::from_millis);
    RequestContext {
        request_id: text(&REQUEST_ID).map_or_else(RequestId::generate, RequestId::from_string),
        tenant: TenantId::from_string(text(&TENANT).unwrap_or_default()),
        key: text(&KEY).map(KeyId::from_string),
        class: if text(&CLASS) == Some(Class::Batch.as_str()) { Class::Batch } else { Class::Interactive },
        trace: text(&TRACEPARENT).and_then(TraceContext::parse),
        deadline: left.and_then(|left| Instant::now().checked_add(left)),
        wishes: Wishes {
            budget: text(&BUDGET).and_then(|nanos| nanos.parse().ok()).map(Money::from_nanos),
            cache: text(&CACHE).map(|word| word == "on"),
            explain: text(&EXPLAIN).is_some(),
        },
    }
}

pub(crate) fn encode_head(head: &AnswerHead) -> Bytes {
    piece(HEAD, &[&to_json(head)])
}

pub(crate) fn encode_sending() -> Bytes {
    piece(SENDING, &[])
}

/// A frame as a piece. Data begins with the tokens handed on so far, so that a caller who leaves knows what was delivered.
pub(crate) fn encode_frame(frame: Frame, tokens: u64) -> Bytes {
    match frame {
        Frame::Data(bytes) => piece(DATA, &[&tokens.to_be_bytes(), &bytes]),
        Frame::End(outcome) => {
            let error = outcome.error.as_ref().map(Failure::from_error);
            let Outcome { usage, is_estimated, finish, served, .. } = *outcome;
            piece(END, &[&to_json(&End { usage, is_estimated, finish, error, served })])
        }
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers always serialise")
}

fn piece(kind: u8, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(kind);
    bytes.put_u32(u32::try_from(length).expect("answers are smaller than 4 GiB"));
    parts.iter().for_each(|part| bytes.put_slice(part));
    bytes.freeze()
}

/// Takes the next complete piece off the front of `buffer`.
///
/// # Errors
/// When it is no piece: the other side is something else, or another version.
pub(crate) fn decode(buffer: &mut BytesMut) -> Result<Option<Piece>, Error> {
    if buffer.len() < PREFIX {
        return Ok(None);
    }
    let kind = buffer[0];
    let length = u32::from_be_bytes([buffer[1], buffer[2], buffer[3], buffer[4]]) as usize;
    if !matches!(kind, HEAD | SENDING | DATA | END) || length > MAX_PIECE {
        return Err(not_a_piece("unknown kind or impossible length"));
    }
    if buffer.len() < PREFIX + length {
        buffer.reserve(PREFIX + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(PREFIX);
    let mut payload = buffer.split_to(length).freeze();
    let piece = match kind {
        DATA => {
            let tokens = payload.try_get_u64().map_err(not_a_piece)?;
            Piece::Frame(Frame::Data(payload), tokens)
        }
        SENDING => Piece::Sending,
        HEAD => Piece::Head(serde_json::from_slice(&payload).map_err(not_a_piece)?),
        _ => {
            let end = serde_json::from_slice::<End>(&payload).map_err(not_a_piece)?;
            Piece::Frame(Frame::End(Box::new(end.into())), 0)
        }
    };
    Ok(Some(piece))
}

fn not_a_piece(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::BadUpstream, "The orchestrator's answer cannot be read.").with_source(cause)
}

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        Self {
            usage: end.usage,
            is_estimated: end.is_estimated,
            finish: end.finish,
            error: end.error.map(Failure::into_error),
            served: end.served,
        }
    }
}

impl Failure {
    fn from_error(error: &Error) -> Self {
        Self {
            status: chassis::status_of(error.kind()).as_u16(),
            retry_after_ms: error.retry_after().and_then(|wait| u64::try_from(wait.as_millis()).ok()),
            message: error.message().to_owned(),
            code: error.code().map(str::to_owned),
            param: error.param().map(str::to_owned),
        }
    }

    fn into_error(self) -> Error {
        let wait = self.retry_after_ms.map(Duration::from_millis);
        let body =
            wire::error::ErrorObject { message: self.message, kind: String::new(), param: self.param, code: self.code };
        to_error(self.status, wait, body)
    }
}

/// The error a non-2xx answer of the internal service stands for.
pub(crate) fn read_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let retry_after = headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    match serde_json::from_slice::<wire::error::ErrorBody>(body) {
        Ok(body) => to_error(status.as_u16(), retry_after.map(Duration::from_secs), body.error),
        Err(cause) => Error::unavailable("The orchestrator failed to answer.")
            .with_source(format!("status {}, body not understood: {cause}", status.as_u16())),
    }
}

fn to_error(status: u16, retry_after: Option<Duration>, told: wire::error::ErrorObject) -> Error {
    let error = Error::new(kind_of(status, retry_after), told.message);
    let error = retry_after.into_iter().fold(error, Error::with_retry_after);
    let error = told.code.into_iter().fold(error, Error::with_code);
    told.param.into_iter().fold(error, Error::with_param)
}

/// The other direction of `chassis::status_of`.
fn kind_of(status: u16, retry_after: Option<Duration>) -> Kind {
    match status {
        400 => Kind::InvalidRequest,
        401 => Kind::Unauthenticated,
        403 => Kind::PermissionDenied,
        404 => Kind::NotFound,
        405 => Kind::MethodNotAllowed,
        409 => Kind::Conflict,
        413 => Kind::TooLarge,
        415 => Kind::UnsupportedMediaType,
        422 => Kind::Unprocessable,
        429 => Kind::RateLimited { retry_after },
        501 => Kind::Unsupported,
        502 => Kind::BadUpstream,
        503 => Kind::Unavailable,
        504 => Kind::Timeout,
        _ => Kind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_way_there_and_back() {
        let kinds = [
            Kind::InvalidRequest,
            Kind::Unauthenticated,
            Kind::PermissionDenied,
            Kind::NotFound,
            Kind::MethodNotAllowed,
            Kind::Conflict,
            Kind::TooLarge,
            Kind::UnsupportedMediaType,
            Kind::Unprocessable,
            Kind::RateLimited { retry_after: Some(Duration::from_secs(7)) },
            Kind::Internal,
            Kind::Unsupported,
            Kind::BadUpstream,
            Kind::Unavailable,
            Kind::Timeout,
        ];
        for kind in kinds {
            let error = Error::new(kind, "m").with_code("c").with_param("p");

            let back = Failure::from_error(&error).into_error();

            assert_eq!((back.kind(), back.message(), back.code(), back.param()), (kind, "m", Some("c"), Some("p")));
        }
    }

    #[test]
    fn a_context_survives_the_way_there() {
        let ctx = RequestContext {
            request_id: RequestId::generate(),
            tenant: TenantId::generate(),
            key: Some(KeyId::generate()),
            class: Class::Batch,
            trace: TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            deadline: Instant::now().checked_add(Duration::from_secs(60)),
            wishes: Wishes { budget: Some(Money::from_nanos(7)), cache: Some(false), explain: true },
        };

        let back = from_headers(&to_headers(&ctx));

        assert_eq!((&back.request_id, &back.tenant, &back.key), (&ctx.request_id, &ctx.tenant, &ctx.key));
        assert_eq!((back.class, back.trace, back.wishes), (ctx.class, ctx.trace, ctx.wishes));
        assert!(back.deadline.is_some_and(|deadline| deadline <= ctx.deadline.unwrap() + Duration::from_secs(1)));
    }

    #[test]
    fn pieces_come_out_whole_however_they_arrive() {
        let outcome = Box::new(Outcome { finish: Some("stop".into()), ..Outcome::default() });
        let bytes = [encode_frame(Frame::Data("abc".into()), 5), encode_frame(Frame::End(outcome), 5)].concat();
        let mut buffer = BytesMut::new();
        let mut pieces = Vec::new();

        for byte in bytes {
            buffer.put_u8(byte);
            pieces.extend(decode(&mut buffer).unwrap());
        }

        assert!(matches!(&pieces[..], [Piece::Frame(Frame::Data(data), 5), Piece::Frame(Frame::End(end), _)]
            if data == "abc" && end.finish.as_deref() == Some("stop")));
        assert!(decode(&mut BytesMut::from("<html>")).is_err());
    }
}
