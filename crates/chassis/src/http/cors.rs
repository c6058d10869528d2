//! Which web pages of other origins may call the API: none, unless the settings name them.

use axum::Router;
use http::{HeaderName, HeaderValue, Method, header::RETRY_AFTER};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use url::Url;

/// How long a browser remembers what it may do.
const MAX_AGE: Duration = Duration::from_secs(3_600);

/// What scripts may read of an answer besides its body.
const EXPOSED: [&str; 13] = [
    "x-request-id",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "x-tandem-model",
    "x-tandem-deployment",
    "x-tandem-attempts",
    "x-tandem-cost-usd",
    "x-tandem-cache",
    "idempotent-replayed",
];

/// Where a web page comes from, as `https://console.example.com`: scheme, host and port, nothing behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Url::parse(&text) {
            Ok(url) if ["http", "https"].contains(&url.scheme()) && url.origin().ascii_serialization() == text => {
                Ok(Self(text))
            }
            _ => Err(format!("`{text}` is no origin; write it as `https://console.example.com`, without a path")),
        }
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

/// Lets pages of `origins` call `router`.
pub(super) fn allow(router: Router, origins: &[Origin]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(&origin.0).ok());
    let exposed = EXPOSED.map(HeaderName::from_static).into_iter().chain([RETRY_AFTER]);
    router.layer(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
            // Credentials are headers that a script has to know; cookies have no meaning here.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(exposed.collect::<Vec<_>>())
            .max_age(MAX_AGE),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_a_host_and_nothing_behind() {
        for fine in ["https://a.example", "http://localhost:3000"] {
            assert!(Origin::try_from(fine.to_owned()).is_ok(), "{fine}");
        }
        for wrong in [
            "*",
            "null",
            "a.example",
            "https://a.example/",
            "https://a.example/x",
            "ftp://a.example",
            "https://u@a.example",
        ] {
            assert!(Origin::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
