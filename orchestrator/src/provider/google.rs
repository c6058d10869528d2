//! Access tokens of Google Cloud, by Application Default Credentials: the metadata server, workload identity or a service
//! account's file. The library keeps a token and renews it ahead of its end; no request waits for a renewal.

use domain::{Error, Kind, Result};
use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials};
use http::{Extensions, HeaderMap};
use tokio::sync::OnceCell;

/// As narrow as Vertex AI allows.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The process's tokens; looked for at their first use, so that who needs none needs no credentials.
#[derive(Debug, Default)]
pub(super) struct Tokens(OnceCell<Credentials>);

impl Tokens {
    /// The headers to send.
    ///
    /// # Errors
    /// `BadUpstream` when this process has no credentials or gets no token: that is the operator's to mend.
    pub(super) async fn headers(&self) -> Result<HeaderMap> {
        let credentials = self.0.get_or_try_init(async || find()).await?;
        match credentials.headers(Extensions::new()).await.map_err(refused)? {
            CacheableResource::New { data, .. } => Ok(data),
            CacheableResource::NotModified => Err(refused("a token that never was there has not changed")),
        }
    }
}

fn find() -> Result<Credentials> {
    Builder::default().with_scopes([SCOPE]).build().map_err(refused)
}

fn refused(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::BadUpstream, "This platform has no credentials for the model's provider.")
        .with_code(crate::CREDENTIALS_REFUSED)
        .with_source(cause)
}
