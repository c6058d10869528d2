//! The credential of a request, in whichever header the caller's SDK writes it. No other header says who asks.

use domain::{Error, Kind, Result};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A key's secret or a token.
pub(super) fn credential(headers: &HeaderMap) -> Result<&str> {
    match headers.get(AUTHORIZATION) {
        Some(header) => bearer(header),
        None => api_key(headers.get(API_KEY).ok_or_else(|| {
            refused("You didn't provide an API key. Send it in a header of the form `Authorization: Bearer YOUR_KEY`.")
        })?),
    }
}

fn api_key(header: &HeaderValue) -> Result<&str> {
    let key = header.to_str().ok().map(str::trim).filter(|key| !key.is_empty());
    key.ok_or_else(|| refused("The x-api-key header has no key in it."))
}

fn bearer(header: &HeaderValue) -> Result<&str> {
    header
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim())
        .filter(|secret| !secret.is_empty())
        .ok_or_else(|| refused("The Authorization header is not of the form `Authorization: Bearer YOUR_KEY`."))
}

/// A 401 about a key.
pub(super) fn refused(message: &str) -> Error {
    Error::new(Kind::Unauthenticated, message).with_code("invalid_api_key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_scheme_may_be_written_in_any_case() {
        assert_eq!(credential(&headers("bEARER  abc")).unwrap(), "abc");
    }

    #[test]
    fn anthropics_header_will_do() {
        let key = HeaderMap::from_iter([(API_KEY, HeaderValue::from_static("abc"))]);

        assert_eq!(credential(&key).unwrap(), "abc");
    }

    #[test]
    fn other_schemes_and_empty_secrets_are_refused() {
        for value in ["Basic abc", "Bearer", "Bearer ", "abc", ""] {
            assert_eq!(credential(&headers(value)).unwrap_err().code(), Some("invalid_api_key"), "{value}");
        }
    }
}
