//! A bucket of Google Cloud Storage: objects by `object_store`, and beside it what that has no word for: compose.

mod checksums;
mod compose;
mod resource;

use crate::blobs::{bad_url, cannot_open};
use checksums::Checksums;
use domain::{Error, Result};
use object_store::{
    ClientOptions, RetryConfig, StaticCredentialProvider,
    client::{HttpClient, HttpConnector},
    gcp::{GcpCredential, GcpCredentialProvider, GoogleCloudStorage, GoogleCloudStorageBuilder},
    path::Path,
};
use std::{sync::Arc, time::Duration};
use url::Url;

/// Where Google answers.
const GOOGLE: &str = "https://storage.googleapis.com";
/// For one request, its body included. Bodies are bounded, so this is long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long no request is tried again here; callers may.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_RETRIES: usize = 5;

/// One bucket, or a folder in it.
#[derive(Debug)]
pub(crate) struct Bucket {
    http: HttpClient,
    credentials: GcpCredentialProvider,
    endpoint: Url,
    name: String,
    prefix: Path,
}

impl Bucket {
    /// Opens `gs://bucket/prefix`, whose objects `object_store` has without the prefix. Over plain HTTP, which only
    /// stand-ins speak, no credentials are sent.
    pub(crate) fn open(url: &str, endpoint: Option<&str>) -> Result<(Self, GoogleCloudStorage)> {
        let parsed = Url::parse(url).map_err(|error| bad_url(url).with_source(error))?;
        let name = parsed.host_str().ok_or_else(|| bad_url(url))?.to_owned();
        let prefix = Path::from_url_path(parsed.path()).map_err(|error| bad_url(url).with_source(error))?;
        let base = endpoint.unwrap_or(GOOGLE).trim_end_matches('/');
        let endpoint_url = Url::parse(base).map_err(|error| bad_endpoint(base).with_source(error))?;
        let is_plain = match endpoint_url.scheme() {
            "http" => true,
            "https" => false,
            _ => return Err(bad_endpoint(base)),
        };
        let options = ClientOptions::new()
            .with_timeout(REQUEST_TIMEOUT)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_allow_http(is_plain);
        let http = Checksums.connect(&options).map_err(|error| cannot_open(url, error))?;
        let retry = RetryConfig { max_retries: MAX_RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let mut builder = if is_plain {
            let nobody = Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: String::new() }));
            GoogleCloudStorageBuilder::new().with_credentials(nobody)
        } else {
            GoogleCloudStorageBuilder::from_env()
        };
        builder = builder
            .with_bucket_name(&name)
            .with_client_options(options)
            .with_http_connector(Checksums)
            .with_retry(retry);
        if endpoint.is_some() {
            builder = builder.with_base_url(base);
        }
        let objects = builder.build().map_err(|error| cannot_open(url, error))?;
        let credentials = Arc::clone(objects.credentials());
        Ok((Self { http, credentials, endpoint: endpoint_url, name, prefix }, objects))
    }

    /// Where the objects of this folder are in the bucket.
    pub(crate) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The name of an object in the bucket.
    fn object(&self, path: &str) -> String {
        let path = Path::from(path);
        let parts = self.prefix.parts().chain(path.parts());
        parts.collect::<Path>().to_string()
    }
}

fn bad_endpoint(endpoint: &str) -> Error {
    Error::invalid(format!("The endpoint of blobs must be http://host:port or https://host, not {endpoint}"))
}
