//! A collector of telemetry over OTLP/gRPC that keeps the bytes it gets and understands none of them.

use crate::served::{Answer, Answers, Served};
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Frame, Incoming},
    header::HeaderValue,
};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

/// An empty message, uncompressed.
const NOTHING: [u8; 5] = [0; 5];

/// See the head of this file.
pub struct Collector {
    served: Served,
    got: Arc<Got>,
}

#[derive(Default)]
struct Got(Mutex<Vec<u8>>);

impl Collector {
    /// A collector that has got nothing.
    pub async fn start() -> Self {
        let (served, got) = Served::new(|_| Arc::<Got>::default()).await;
        Self { served, got }
    }

    /// Where processes send their telemetry.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.served.url
    }

    /// All of it, with the texts in it as they were.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.got.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Answers for Got {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let headers = format!("{:?}", request.headers());
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let mut got = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        got.extend_from_slice(headers.as_bytes());
        got.extend_from_slice(&body);
        drop(got);
        let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]);
        let frames = [Frame::data(Bytes::from_static(&NOTHING)), Frame::trailers(trailers)];
        let mut answer = Response::new(StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>))).boxed());
        answer.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        answer
    }
}
