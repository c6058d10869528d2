//! A server that replays what real model servers answered, and how they fail. The scenario is in the address.

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use http::HeaderMap;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

const SSE: &str = "text/event-stream; charset=utf-8";
const CHUNK: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n";

pub(crate) struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    last: Mutex<Option<(HeaderMap, String)>>,
    arrived: Notify,
    go_on: Notify,
    hung_up: Notify,
}

/// Tells when the caller of a request is gone.
struct Watch(Arc<Seen>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.hung_up.notify_one();
    }
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let routes = Router::new()
            .route("/{scenario}/v1/models", get(models))
            .route("/{scenario}/v1/chat/completions", post(answer))
            .route("/{scenario}/v1/completions", post(answer))
            .with_state(seen.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, seen, _server: server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The last request.
    pub(crate) fn last(&self) -> (HeaderMap, String) {
        self.seen.last.lock().unwrap().clone().unwrap()
    }

    pub(crate) async fn arrived(&self) {
        self.seen.arrived.notified().await;
    }

    /// Lets a scenario go on that waits after its first event.
    pub(crate) fn go_on(&self) {
        self.seen.go_on.notify_one();
    }

    pub(crate) async fn hung_up(&self) {
        self.seen.hung_up.notified().await;
    }
}

async fn models(Path(scenario): Path<String>) -> Response {
    match scenario.as_str() {
        "unauthorized" => respond(401, "application/json", r#"{"error":"Unauthorized"}"#),
        _ => respond(200, "application/json", include_str!("fixtures/models.json")),
    }
}

async fn answer(
    State(seen): State<Arc<Seen>>,
    Path(scenario): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    *seen.last.lock().unwrap() = Some((headers, body));
    match scenario.as_str() {
        "chat" => respond(200, "application/json", include_str!("fixtures/chat.json")),
        "stream" => respond(200, SSE, Body::from_stream(small_pieces(include_str!("fixtures/stream.sse")))),
        "completions" => respond(200, SSE, include_str!("fixtures/completions.sse")),
        "busy" => respond(200, SSE, include_str!("fixtures/busy.sse")),
        "dies" => respond(200, SSE, after_first_event(seen, Body::from(include_str!("fixtures/dies.sse")))),
        "too_long" => respond(400, "application/json", include_str!("fixtures/too_long.json")),
        "unknown_model" => respond(404, "application/json", include_str!("fixtures/unknown_model.json")),
        "unauthorized" => respond(401, "application/json", r#"{"error":"Unauthorized"}"#),
        "error_in_200" => {
            respond(200, "application/json", r#"{"error":{"message":"Network connection lost.","code":502}}"#)
        }
        "overloaded" => overloaded(),
        "cut" => respond(200, SSE, after_first_event(seen, breaking(&["data: {\"torn"]))),
        "cut_whole" => respond(200, "application/json", breaking(&["{\"choices\":["])),
        "reset" => respond(200, SSE, breaking(&[])),
        "no_done" => respond(200, SSE, CHUNK),
        "stalls" => respond(200, SSE, Body::from_stream(pieces(&[CHUNK, "data: {\"torn"]).chain(stream::pending()))),
        "endless" => endless(Watch(seen)),
        _ => never(&seen).await,
    }
}

fn respond(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    Response::builder().status(status).header("content-type", content_type).body(body.into()).unwrap()
}

fn overloaded() -> Response {
    let mut response =
        respond(429, "application/json", r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#);
    response.headers_mut().insert("retry-after", 7.into());
    response
}

fn endless(watch: Watch) -> Response {
    let chunks = stream::unfold(watch, |watch| async { Some((Ok::<_, io::Error>(Bytes::from(CHUNK)), watch)) });
    respond(200, SSE, Body::from_stream(chunks))
}

async fn never(seen: &Arc<Seen>) -> Response {
    let _watch = Watch(seen.clone());
    seen.arrived.notify_one();
    std::future::pending().await
}

/// One event, and the rest once the test says so: it must not arrive together with the first.
fn after_first_event(seen: Arc<Seen>, rest: Body) -> Body {
    let rest = async move {
        seen.go_on.notified().await;
        rest.into_data_stream()
    };
    Body::from_stream(pieces(&[CHUNK]).map_err(axum::Error::new).chain(stream::once(rest).flatten()))
}

/// Pieces, then the connection breaks.
fn breaking(parts: &[&'static str]) -> Body {
    let end = stream::once(async {
        // The pieces before must reach the wire: an error drops what the server still holds.
        tokio::task::yield_now().await;
        Err(io::Error::other("broken off"))
    });
    Body::from_stream(pieces(parts).chain(end))
}

fn pieces(parts: &[&'static str]) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    stream::iter(parts.iter().map(|part| Ok(Bytes::from(*part))).collect::<Vec<_>>())
}

fn small_pieces(text: &'static str) -> impl Stream<Item = io::Result<Bytes>> {
    stream::iter(text.as_bytes().chunks(37).map(|piece| Ok(Bytes::from(piece))))
}
