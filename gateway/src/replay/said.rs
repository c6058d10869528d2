//! What a request says about being sent again: its key, the last event its client saw, and what it is.

use domain::{Error, Result};
use http::{HeaderMap, HeaderName, Method, Uri};
use orchestrator::Dialect;
use sha2::{Digest, Sha256};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const KEY_BYTES: usize = 255;

/// A part of the API whose requests may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeatable {
    /// A model is asked.
    Inference,
    /// A file is uploaded.
    File,
    /// A batch is made.
    Batch,
}

impl Repeatable {
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        match path {
            _ if method != Method::POST => None,
            "/v1/files" => Some(Self::File),
            "/v1/batches" => Some(Self::Batch),
            path if path.starts_with("/v1/batches/") && path.ends_with("/redrive") => Some(Self::Batch),
            path => Dialect::from_path(path).map(|_| Self::Inference),
        }
    }
}

/// SHA-256 of the key, in hex.
///
/// # Errors
/// `InvalidRequest` when it is no key.
pub(super) fn key_sha256(headers: &HeaderMap) -> Result<String> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = keys.next().map(|key| key.as_bytes()).unwrap_or_default();
    let is_key = (1..=KEY_BYTES).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    if !is_key || keys.next().is_some() {
        let text = format!(
            "The header `{IDEMPOTENCY_KEY}` must be there once, with 1 to {KEY_BYTES} visible ASCII characters."
        );
        return Err(Error::invalid(text).with_param(IDEMPOTENCY_KEY.as_str()).with_code("invalid_idempotency_key"));
    }
    Ok(hex(&Sha256::digest(key)))
}

/// The number of the last event the client has seen; 0 = none.
///
/// # Errors
/// `InvalidRequest` when it is no number of ours.
pub(super) fn last_event(headers: &HeaderMap) -> Result<u64> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(0) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| {
        let text =
            format!("The header `{LAST_EVENT_ID}` must be the whole number in the `id:` of the last event you saw.");
        Error::invalid(text).with_param(LAST_EVENT_ID.as_str())
    })
}

/// SHA-256 of a request whose body is there, in hex.
pub(super) fn request_sha256(method: &Method, uri: &Uri, body: &[u8]) -> String {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let hasher = Sha256::new().chain_update(method.as_str()).chain_update(" ").chain_update(path).chain_update("\n");
    hex(&hasher.chain_update(body).finalize())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let value = |text: &&str| (name.clone(), HeaderValue::from_str(text).unwrap());
        values.iter().map(value).collect::<Vec<_>>().into_iter().fold(HeaderMap::new(), |mut all, (name, value)| {
            all.append(name, value);
            all
        })
    }

    #[test]
    fn a_key_is_visible_ascii_of_bounded_length() {
        assert!(key_sha256(&headers(IDEMPOTENCY_KEY, &[&"k".repeat(255)])).is_ok());
        for wrong in [&[""][..], &["a b"], &["é"], &[&"k".repeat(256)], &["a", "a"]] {
            let error = key_sha256(&headers(IDEMPOTENCY_KEY, wrong)).unwrap_err();
            assert_eq!(error.code(), Some("invalid_idempotency_key"), "{wrong:?}");
        }
    }

    #[test]
    fn the_last_event_is_a_number() {
        assert_eq!(last_event(&headers(LAST_EVENT_ID, &["7"])).unwrap(), 7);
        assert_eq!(last_event(&HeaderMap::new()).unwrap(), 0);
        assert!(last_event(&headers(LAST_EVENT_ID, &["seven"])).is_err());
    }

    #[test]
    fn method_path_and_body_make_the_request() {
        let of =
            |path: &'static str, body: &str| request_sha256(&Method::POST, &Uri::from_static(path), body.as_bytes());

        assert_eq!(of("/a", "x"), of("/a", "x"));
        assert_ne!(of("/a", "x"), of("/a", "y"));
        assert_ne!(of("/a", "x"), of("/a?q", "x"));
        assert_eq!(hex(&[0x0f, 0xa0]), "0fa0");
    }

    #[test]
    fn only_what_makes_something_is_repeatable() {
        let of = |method, path| Repeatable::of(&method, path);

        assert_eq!(of(Method::POST, "/v1/messages"), Some(Repeatable::Inference));
        assert_eq!(of(Method::POST, "/v1/files"), Some(Repeatable::File));
        assert_eq!(of(Method::GET, "/v1/files"), None);
        assert_eq!(of(Method::POST, "/v1/batches/batch_1/redrive"), Some(Repeatable::Batch));
        assert_eq!(of(Method::POST, "/v1/batches/batch_1/cancel"), None);
    }
}
