//! What the internal service and its client say to each other: who asks, as headers; the answer, as framed pieces of
//! kind, length and payload, so that a cut is never taken for an end.

use crate::{Frame, Outcome};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use domain::{Class, Error, KeyId, Kind, RequestContext, RequestId, TenantId, Usage};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

pub(crate) const CALL_PATH: &str = "/internal/call/";
pub(crate) const MODELS_PATH: &str = "/internal/models";
pub(crate) const CONTENT_TYPE: &str = "application/x-tandem-frames";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TENANT: HeaderName = HeaderName::from_static("x-tandem-tenant");
const KEY: HeaderName = HeaderName::from_static("x-tandem-key");
const CLASS: HeaderName = HeaderName::from_static("x-tandem-class");
const DEADLINE: HeaderName = HeaderName::from_static("x-tandem-deadline-ms");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const HEAD: u8 = b'H';
const DATA: u8 = b'D';
const END: u8 = b'E';
const PREFIX: usize = 5;
const MAX_PIECE: usize = 512 << 20;

/// The first piece of an answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AnswerHead {
    pub(crate) served_by: String,
    pub(crate) attempts: u32,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

/// One piece of an answer.
#[derive(Debug)]
pub(crate) enum Piece {
    Head(AnswerHead),
    Frame(Frame),
}

#[derive(Serialize, Deserialize)]
struct End {
    usage: Option<Usage>,
    finish: Option<String>,
    error: Option<Failure>,
}

/// An error between two processes. Its cause stays in the log of the process that had it.
#[derive(Serialize, Deserialize)]
struct Failure {
    status: u16,
    retry_after_secs: Option<u64>,
    message: String,
    code: Option<String>,
    param: Option<String>,
}

/// The context as headers. The deadline travels as time left: clocks differ.
pub(crate) fn to_headers(ctx: &RequestContext) -> HeaderMap {
    let left = ctx.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_millis().to_string());
    let values = [
        (REQUEST_ID, Some(ctx.request_id.as_str())),
        (TENANT, Some(ctx.tenant.as_str())),
        (KEY, ctx.key.as_ref().map(KeyId::as_str)),
        (CLASS, Some(ctx.class.as_str())),
        (DEADLINE, left.as_deref()),
        (TRACEPARENT, ctx.traceparent.as_deref()),
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
        traceparent: text(&TRACEPARENT).map(str::to_owned),
        deadline: left.and_then(|left| Instant::now().checked_add(left)),
    }
}

pub(crate) fn encode_head(head: &AnswerHead) -> Bytes {
    piece(HEAD, &to_json(head))
}

pub(crate) fn encode_frame(frame: Frame) -> Bytes {
    match frame {
        Frame::Data(bytes) => piece(DATA, &bytes),
        Frame::End(outcome) => {
            let error = outcome.error.as_ref().map(Failure::from_error);
            piece(END, &to_json(&End { usage: outcome.usage, finish: outcome.finish, error }))
        }
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers always serialise")
}

fn piece(kind: u8, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX + payload.len());
    bytes.put_u8(kind);
    bytes.put_u32(u32::try_from(payload.len()).expect("answers are smaller than 4 GiB"));
    bytes.put_slice(payload);
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
    if !matches!(kind, HEAD | DATA | END) || length > MAX_PIECE {
        return Err(not_a_piece("unknown kind or impossible length"));
    }
    if buffer.len() < PREFIX + length {
        buffer.reserve(PREFIX + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(PREFIX);
    let payload = buffer.split_to(length).freeze();
    let piece = match kind {
        DATA => Piece::Frame(Frame::Data(payload)),
        HEAD => Piece::Head(serde_json::from_slice(&payload).map_err(not_a_piece)?),
        _ => Piece::Frame(Frame::End(serde_json::from_slice::<End>(&payload).map_err(not_a_piece)?.into())),
    };
    Ok(Some(piece))
}

fn not_a_piece(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::BadUpstream, "The orchestrator's answer cannot be read.").with_source(cause)
}

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        Self { usage: end.usage, finish: end.finish, error: end.error.map(Failure::into_error) }
    }
}

impl Failure {
    fn from_error(error: &Error) -> Self {
        let retry_after = match error.kind() {
            Kind::RateLimited { retry_after } => retry_after,
            _ => None,
        };
        Self {
            status: chassis::status_of(error.kind()).as_u16(),
            retry_after_secs: retry_after.map(|wait| wait.as_secs()),
            message: error.message().to_owned(),
            code: error.code().map(str::to_owned),
            param: error.param().map(str::to_owned),
        }
    }

    fn into_error(self) -> Error {
        let kind = kind_of(self.status, self.retry_after_secs.map(Duration::from_secs));
        let body =
            wire::error::ErrorObject { message: self.message, kind: String::new(), param: self.param, code: self.code };
        to_error(kind, body)
    }
}

/// The error a non-2xx answer of the internal service stands for.
pub(crate) fn read_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let retry_after = headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let kind = kind_of(status.as_u16(), retry_after.map(Duration::from_secs));
    match serde_json::from_slice::<wire::error::ErrorBody>(body) {
        Ok(body) => to_error(kind, body.error),
        Err(cause) => Error::unavailable("The orchestrator failed to answer.")
            .with_source(format!("status {}, body not understood: {cause}", status.as_u16())),
    }
}

fn to_error(kind: Kind, told: wire::error::ErrorObject) -> Error {
    let error = Error::new(kind, told.message);
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
            traceparent: Some("00-a-b-01".into()),
            deadline: Instant::now().checked_add(Duration::from_secs(60)),
        };

        let back = from_headers(&to_headers(&ctx));

        assert_eq!((&back.request_id, &back.tenant, &back.key), (&ctx.request_id, &ctx.tenant, &ctx.key));
        assert_eq!((back.class, back.traceparent), (ctx.class, ctx.traceparent));
        assert!(back.deadline.is_some_and(|deadline| deadline <= ctx.deadline.unwrap() + Duration::from_secs(1)));
    }

    #[test]
    fn pieces_come_out_whole_however_they_arrive() {
        let outcome = Outcome { finish: Some("stop".into()), ..Outcome::default() };
        let bytes = [encode_frame(Frame::Data("abc".into())), encode_frame(Frame::End(outcome))].concat();
        let mut buffer = BytesMut::new();
        let mut pieces = Vec::new();

        for byte in bytes {
            buffer.put_u8(byte);
            pieces.extend(decode(&mut buffer).unwrap());
        }

        assert!(matches!(&pieces[..], [Piece::Frame(Frame::Data(data)), Piece::Frame(Frame::End(end))]
            if data == "abc" && end.finish.as_deref() == Some("stop")));
        assert!(decode(&mut BytesMut::from("<html>")).is_err());
    }
}
