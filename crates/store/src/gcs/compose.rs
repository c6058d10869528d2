//! One object out of many without moving a byte: Google's compose. A call takes 32 sources, so many make a tree.

use super::{
    Bucket,
    resource::{FIELDS, Resource},
};
use crate::{BlobInfo, Source, retry};
use backon::Retryable;
use bytes::Bytes;
use domain::{Error, Kind, Result};
use futures::{StreamExt, TryStreamExt, stream};
use http::{Method, Request, StatusCode, header};
use object_store::client::HttpRequestBody;
use serde_json::json;
use url::Url;

/// Google's limit for one call.
const MOST_SOURCES: usize = 32;
/// Calls in flight.
const AT_ONCE: usize = 8;
/// Of an answer that is no success, for the log.
const SHOWN_BYTES: usize = 512;

impl Bucket {
    /// Makes the object at `target` out of `sources` in order; nodes of the tree are below `scratch`, and stay there.
    ///
    /// # Errors
    /// Conflict when another object is at `target`; Internal when what came out is not the sources together.
    pub(crate) async fn compose(&self, target: &str, scratch: &str, mut sources: Vec<Source>) -> Result<BlobInfo> {
        let mut depth = 0;
        while sources.len() > MOST_SOURCES {
            depth += 1;
            let groups: Vec<_> = sources.chunks(MOST_SOURCES).map(<[Source]>::to_vec).collect();
            let nodes = groups.into_iter().enumerate().map(|(at, group)| async move {
                let path = format!("{scratch}/node-{depth}-{at}");
                self.join(&path, &group).await.map(|info| Source { path, info })
            });
            sources = stream::iter(nodes).buffered(AT_ONCE).try_collect().await?;
        }
        self.join(target, &sources).await
    }

    /// One call, and as many more as it takes to know how it ended.
    async fn join(&self, target: &str, sources: &[Source]) -> Result<BlobInfo> {
        let mut expected = BlobInfo::default();
        sources.iter().for_each(|source| expected.join(source.info));
        let made = (|| self.call(target, sources)).retry(retry::budget()).when(retry::is_worth_it).await;
        let found = match made {
            // It may be what an earlier try made, whose answer was lost.
            Err(error) if error.kind() == Kind::Conflict => match self.info(target).await? {
                Some(info) if info == expected => info,
                _ => return Err(error),
            },
            made => made?,
        };
        if found != expected {
            let text = format!("{target} was composed as {found:?}; its sources are {expected:?}");
            return Err(Error::internal(text));
        }
        Ok(found)
    }

    async fn call(&self, target: &str, sources: &[Source]) -> Result<BlobInfo> {
        let names: Vec<_> = sources.iter().map(|source| json!({"name": self.object(&source.path)})).collect();
        let body = json!({"sourceObjects": names, "destination": {"contentType": "application/octet-stream"}});
        let mut url = self.object_url(target)?;
        segments(&mut url)?.push("compose");
        url.query_pairs_mut().append_pair("ifGenerationMatch", "0").append_pair("fields", FIELDS);
        let answer = self.ask(Method::POST, &url, body.to_string()).await?;
        serde_json::from_slice::<Resource>(&answer).map_err(Error::internal)?.info()
    }

    /// What is known of an object, if there is one.
    async fn info(&self, path: &str) -> Result<Option<BlobInfo>> {
        let mut url = self.object_url(path)?;
        url.query_pairs_mut().append_pair("fields", FIELDS);
        let found =
            (|| self.ask(Method::GET, &url, String::new())).retry(retry::budget()).when(retry::is_worth_it).await;
        match found {
            Ok(answer) => serde_json::from_slice::<Resource>(&answer).map_err(Error::internal)?.info().map(Some),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn object_url(&self, path: &str) -> Result<Url> {
        let mut url = self.endpoint.clone();
        segments(&mut url)?.pop_if_empty().extend(["storage", "v1", "b", &self.name, "o", &self.object(path)]);
        Ok(url)
    }

    async fn ask(&self, method: Method, url: &Url, body: String) -> Result<Bytes> {
        let credential = self.credentials.get_credential().await.map_err(|error| away("no credentials", error))?;
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::AUTHORIZATION, format!("Bearer {}", credential.bearer))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, body.len())
            .body(HttpRequestBody::from(body))
            .map_err(Error::internal)?;
        let answer = self.http.execute(request).await.map_err(|error| away("no answer", error))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|error| away("no whole answer", error))?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, url, &body)) }
    }
}

fn segments(url: &mut Url) -> Result<url::PathSegmentsMut<'_>> {
    url.path_segments_mut().map_err(|()| Error::internal("the endpoint of blobs has no path"))
}

fn away(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    tracing::debug!(%error, "the object store gives {what}");
    Error::unavailable("Storage can't be reached right now. Try again.").with_source(error)
}

fn refusal(status: StatusCode, url: &Url, body: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]);
    let cause = format!("{url}: {status}: {shown}");
    match status {
        StatusCode::NOT_FOUND => Error::not_found("The content is gone.").with_source(cause),
        StatusCode::PRECONDITION_FAILED => Error::new(Kind::Conflict, "The content exists already.").with_source(cause),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Error::unavailable("Storage is busy right now. Try again.").with_source(cause)
        }
        _ if status.is_server_error() => {
            Error::unavailable("Storage can't be reached right now. Try again.").with_source(cause)
        }
        _ => Error::internal(cause),
    }
}
