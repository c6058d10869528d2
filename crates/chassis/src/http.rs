//! The HTTP side every service shares: the shell round its routes, the admin port, the listener and its end.

mod admin;
mod bind;
mod body;
mod cors;
mod error;
mod metrics;
mod serve;
mod shell;

pub use admin::admin_routes;
pub use bind::bind;
pub use cors::Origin;
pub use error::ApiError;
pub use serve::serve;
pub use shell::{X_REQUEST_ID, shell};

use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, time::Duration};

/// Settings of one listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Where to listen. Port 0 picks a free one.
    pub bind: SocketAddr,
    /// The largest request body that an extractor reads; a route may carry its own `DefaultBodyLimit`.
    pub max_body_bytes: usize,
    /// The longest time from a request's head to its answer's head. The body of the answer may take longer.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// The largest sum of a request's header names and values.
    pub max_header_bytes: usize,
    /// The origins whose web pages may call the API.
    pub cors_origins: Vec<Origin>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            max_body_bytes: 32 << 20,
            request_timeout: Duration::from_secs(600),
            max_header_bytes: 32 << 10,
            cors_origins: Vec::new(),
        }
    }
}
