//! One client of a request that runs. Its going is noticed: a request that nobody follows ends after the grace.

use super::{
    head::Head,
    log::{End, Log, ReaderId},
    refusal::Refusal,
    running::Running,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chassis::http::ApiError;
use domain::Result;
use futures::{Stream, stream};
use std::{io, sync::Arc};
use tokio::sync::watch;

pub(super) struct Follower {
    running: Arc<Running>,
    news: watch::Receiver<Log>,
    id: ReaderId,
}

impl Follower {
    pub(super) fn new(running: Arc<Running>, news: watch::Receiver<Log>, id: ReaderId) -> Self {
        Self { running, news, id }
    }

    /// Waits for the head, and gives the answer with whatever of the body is there or comes.
    pub(super) async fn answer(mut self, is_first: bool) -> Result<Response, ApiError> {
        let head = self.news.wait_for(|log| log.head().is_some()).await.ok().and_then(|log| log.head().cloned());
        let head = head.unwrap_or(Err(Refusal::Lost)).map_err(Refusal::error)?;
        let head = if is_first { head } else { head.replayed() };
        Ok(respond(head, self.body()))
    }

    /// Waits for the end, and tells what request was answered.
    pub(super) async fn request_sha256(&mut self) -> Result<String, Refusal> {
        let log = self.news.wait_for(|log| log.end().is_some()).await.map_err(|_| Refusal::Lost)?;
        if let Some(Err(refusal)) = log.head() {
            return Err(*refusal);
        }
        log.request_sha256().map(str::to_owned).ok_or(Refusal::Lost)
    }

    fn body(self) -> Body {
        if self.news.borrow().end() == Some(End::Whole) {
            return Body::from(self.running.read(self.id));
        }
        Body::from_stream(self.pieces())
    }

    fn pieces(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::unfold(Some(self), |follower| async { follower?.piece().await })
    }

    async fn piece(mut self) -> Option<(io::Result<Bytes>, Option<Self>)> {
        loop {
            let id = self.id;
            let end = self.news.wait_for(|log| log.is_ready(id)).await.ok()?.end();
            let bytes = self.running.read(id);
            if !bytes.is_empty() {
                return Some((Ok(bytes), Some(self)));
            }
            match end {
                Some(End::Whole) => return None,
                Some(End::Cut) => return Some((Err(io::Error::other(Refusal::Lost.error())), None)),
                // All of it was seen before by the client.
                None => {}
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.running.change(|log| log.leave(self.id));
    }
}

fn respond(head: Head, body: Body) -> Response {
    let mut response = body.into_response();
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    if let Some(told) = head.told {
        response.extensions_mut().insert(told);
    }
    response
}
