//! Sends the checksum of every body with it, so that Google refuses bytes that changed or were lost on the way.

use super::resource::to_base64;
use async_trait::async_trait;
use http::{HeaderValue, Method};
use http_body_util::BodyExt;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpService,
        ReqwestConnector,
    },
};

const HASH: &str = "x-goog-hash";

/// Makes clients that do so.
#[derive(Debug)]
pub(super) struct Checksums;

#[derive(Debug)]
struct Checked(HttpClient);

impl HttpConnector for Checksums {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        ReqwestConnector::default().connect(options).map(|client| HttpClient::new(Checked(client)))
    }
}

#[async_trait]
impl HttpService for Checked {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.method() == Method::PUT && request.body().content_length() > 0 {
            let hash = format!("crc32c={}", to_base64(crc32c_of(request.body().clone()).await?));
            let hash = HeaderValue::from_str(&hash).map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
            request.headers_mut().insert(HASH, hash);
        }
        self.0.execute(request).await
    }
}

async fn crc32c_of(mut body: HttpRequestBody) -> Result<u32, HttpError> {
    let mut sum = 0;
    while let Some(frame) = body.frame().await {
        if let Some(bytes) = frame?.data_ref() {
            sum = crc32c::crc32c_append(sum, bytes);
        }
    }
    Ok(sum)
}
