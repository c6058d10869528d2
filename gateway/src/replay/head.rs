//! The head of an answer: what the first client gets of it, what later ones do, and what is stored.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, response::Parts};
use domain::{Error, Result};
use serde::{Deserialize, Serialize};
use wire::error::ErrorBody;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Ours begin with it. They tell of the answer; all others may tell of the moment.
const OWN: &str = "x-tandem-";

/// Status and headers, and the error in the body if it is one of ours: its words depend on the path.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) told: Option<ErrorBody>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    headers: Vec<(String, String)>,
    is_own_error: bool,
}

impl Head {
    pub(super) fn of(parts: &Parts) -> Self {
        let told = parts.extensions.get::<ErrorBody>().cloned();
        let mut headers = parts.headers.clone();
        headers.remove(header::CONTENT_LENGTH);
        Self { status: parts.status, headers, told }
    }

    /// For everybody but the first client.
    pub(super) fn replayed(&self) -> Self {
        let mut headers: HeaderMap = self.lasting().map(|(name, value)| (name.clone(), value.clone())).collect();
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        Self { status: self.status, headers, told: self.told.clone() }
    }

    pub(super) fn is_event_stream(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        kind.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
    }

    /// Whether the caller would get the same again: answers, and refusals that are about the request itself.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.status.is_success()
            || (self.status.is_client_error() && !matches!(self.status.as_u16(), 401 | 403 | 408 | 409 | 429))
    }

    pub(super) fn to_json(&self) -> Result<String> {
        let text =
            |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
        let stored = Stored { headers: self.lasting().filter_map(text).collect(), is_own_error: self.told.is_some() };
        serde_json::to_string(&stored).map_err(Error::internal)
    }

    pub(super) fn from_json(status: u16, json: &str, body: &[u8]) -> Result<Self> {
        let stored: Stored = serde_json::from_str(json).map_err(Error::internal)?;
        let header = |(name, value): (String, String)| -> Result<_> {
            let name = HeaderName::try_from(name).map_err(Error::internal)?;
            Ok((name, HeaderValue::try_from(value).map_err(Error::internal)?))
        };
        Ok(Self {
            status: StatusCode::from_u16(status).map_err(Error::internal)?,
            headers: stored.headers.into_iter().map(header).collect::<Result<_>>()?,
            told: stored.is_own_error.then(|| serde_json::from_slice(body)).transpose().map_err(Error::internal)?,
        })
    }

    fn lasting(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers.iter().filter(|(name, _)| *name == header::CONTENT_TYPE || name.as_str().starts_with(OWN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(&'static str, &'static str)]) -> Head {
        let header = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let headers = headers.iter().map(header).collect();
        Head { status: StatusCode::from_u16(status).unwrap(), headers, told: None }
    }

    #[test]
    fn a_replay_tells_of_the_answer_and_not_of_the_moment() {
        let first =
            head(200, &[("content-type", "text/event-stream"), ("x-tandem-model", "m"), ("x-ratelimit-limit", "1")]);

        let stored = Head::from_json(200, &first.to_json().unwrap(), b"").unwrap();

        assert_eq!(stored.headers.len(), 2);
        assert_eq!(stored.replayed().headers["idempotent-replayed"], "true");
        assert_eq!(first.replayed().headers, stored.replayed().headers);
        assert!(stored.is_event_stream());
    }

    #[test]
    fn failures_and_refusals_of_the_moment_are_not_kept() {
        for status in [200, 201, 400, 404, 413, 422] {
            assert!(head(status, &[]).is_worth_keeping(), "{status}");
        }
        for status in [401, 403, 408, 409, 429, 500, 502, 503, 504] {
            assert!(!head(status, &[]).is_worth_keeping(), "{status}");
        }
    }
}
