//! Answers, and what Google says in their headers.

use crate::objects::{Object, Refused};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::stream;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use std::io;

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

pub(crate) fn whole(status: StatusCode, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer
}

pub(crate) fn failure(status: StatusCode, what: &str) -> Answer {
    whole(status, what.to_owned())
}

pub(crate) fn refusal(refused: Refused) -> Answer {
    match refused {
        Refused::NotFound => failure(StatusCode::NOT_FOUND, "NoSuchKey"),
        Refused::Precondition => failure(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
        Refused::TooManySources => failure(StatusCode::BAD_REQUEST, "1 to 32 source components"),
    }
}

/// Says of an object what every answer about it says.
pub(crate) fn describe(answer: &mut Answer, object: &Object) {
    let says = [
        (header::ETAG.as_str(), format!("\"{}\"", object.generation)),
        (header::LAST_MODIFIED.as_str(), httpdate::fmt_http_date(object.modified.into())),
        ("x-goog-generation", object.generation.to_string()),
        ("x-goog-hash", format!("crc32c={}", checksum(&object.bytes))),
    ];
    for (name, value) in says {
        answer.headers_mut().insert(
            http::HeaderName::from_bytes(name.as_bytes()).expect("a name of ours"),
            value.parse().expect("plain ASCII"),
        );
    }
}

pub(crate) fn checksum(bytes: &[u8]) -> String {
    STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())
}

/// The same answer without the second half of its body, which its length promises.
pub(crate) fn broken_off(answer: Answer) -> Answer {
    let (parts, body) = answer.into_parts();
    let halves = stream::once(async move {
        let bytes = body.collect().await?.to_bytes();
        Ok(Frame::data(bytes.slice(..bytes.len() / 2)))
    });
    let cut = stream::once(async { Err(io::Error::other("broken off on request")) });
    Response::from_parts(parts, StreamBody::new(futures::StreamExt::chain(halves, cut)).boxed_unsync())
}
