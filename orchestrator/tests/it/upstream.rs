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
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{io::AsyncReadExt, net::TcpListener, sync::Notify, task::JoinSet};

const SSE: &str = "text/event-stream; charset=utf-8";
/// What routing reads of vLLM's page.
const METRICS: &str = "vllm:num_requests_running 3.0\nvllm:num_requests_waiting 1.0\nvllm:kv_cache_usage_perc 0.25\n";
pub(crate) const STREAM: &str = include_str!("fixtures/stream.sse");
pub(crate) const ROLE: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
pub(crate) const CHUNK: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n";

pub(crate) const MESSAGE_START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"up\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n";
pub(crate) const TEXT_DELTA: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n";
const OVERLOADED: &str =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
const RESPONSE_CREATED: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"status\":\"in_progress\",\"error\":null}}\n\n";
const RESPONSE_FAILED: &str = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":\"r\",\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"oops\"}}}\n\n";

pub(crate) struct Upstream {
    address: SocketAddr,
    slamming: SocketAddr,
    seen: Arc<Seen>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    last: Mutex<Option<(HeaderMap, String)>>,
    arrived: Notify,
    go_on: Notify,
    hung_up: Notify,
    /// How often each scenario was played.
    calls: Mutex<BTreeMap<String, usize>>,
    is_mended: AtomicBool,
    is_slow: AtomicBool,
}

impl Seen {
    /// Notes a request and gives the number that it has among those of its scenario.
    fn note(&self, scenario: &str, headers: HeaderMap, body: String) -> usize {
        *self.last.lock().unwrap() = Some((headers, body));
        let mut calls = self.calls.lock().unwrap();
        let count = calls.entry(scenario.to_owned()).or_default();
        *count += 1;
        *count
    }
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
            .route("/metrics", get(|| async { METRICS }))
            .route("/{scenario}/v1/models", get(models))
            .route("/{scenario}/v1/chat/completions", post(answer))
            .route("/{scenario}/v1/completions", post(answer))
            .route("/{scenario}/v1/messages", post(answer))
            .route("/{scenario}/v1/responses", post(answer))
            .with_state(seen.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let slamming = door.local_addr().unwrap();
        server.spawn(async move {
            loop {
                let (mut socket, _) = door.accept().await.unwrap();
                // The request must have arrived, else the client rightly takes it for unsent.
                let _ = socket.read(&mut [0; 16]).await;
            }
        });
        Self { address, slamming, seen, _server: server }
    }

    /// Where a server closes each connection without a word.
    pub(crate) fn slamming(&self) -> SocketAddr {
        self.slamming
    }

    /// How often a scenario was played.
    pub(crate) fn calls(&self, scenario: &str) -> usize {
        self.seen.calls.lock().unwrap().get(scenario).copied().unwrap_or(0)
    }

    /// From now on the scenario `usually` is silent.
    pub(crate) fn dawdle(&self) {
        self.seen.is_slow.store(true, Ordering::Relaxed);
    }

    /// From now on the scenario `flaps` answers.
    pub(crate) fn mend(&self) {
        self.seen.is_mended.store(true, Ordering::Relaxed);
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
    let call = seen.note(&scenario, headers, body);
    match scenario.as_str() {
        "limited_once" if call == 1 => limited("1"),
        "fails_once" if call == 1 => {
            respond(500, "application/json", r#"{"error":{"message":"oops","type":"server_error"}}"#)
        }
        "limited_once" | "fails_once" => respond(200, SSE, STREAM),
        "unavailable" => respond(503, "application/json", r#"{"error":{"message":"down"}}"#),
        "flaps" if !seen.is_mended.load(Ordering::Relaxed) => respond(500, "text/plain", "oops"),
        "flaps" => respond(200, SSE, STREAM),
        "quota" => respond(
            429,
            "application/json",
            r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#,
        ),
        "filtered" => respond(
            400,
            "application/json",
            r#"{"error":{"message":"blocked","type":"invalid_request_error","param":null,"code":"content_policy_violation"}}"#,
        ),
        "slow_start" => respond(200, SSE, Body::from_stream(pieces(&[ROLE]).chain(stream::pending()))),
        "slow" => slow(&seen).await,
        "usually" if seen.is_slow.load(Ordering::Relaxed) => never(&seen).await,
        "usually" => respond(200, SSE, STREAM),
        "malformed" => {
            respond(200, SSE, after_first_event(seen, Body::from("data: {\"choices\":[torn\n\ndata: [DONE]\n\n")))
        }
        "claude" => respond(200, SSE, include_str!("fixtures/claude.sse")),
        "claude_cut" => respond(200, SSE, after_events(seen, &[MESSAGE_START, TEXT_DELTA], breaking(&[]))),
        "claude_overloaded" => respond(200, SSE, format!("{MESSAGE_START}{OVERLOADED}")),
        "claude_breaks" => respond(200, SSE, after_events(seen, &[MESSAGE_START, TEXT_DELTA], Body::from(OVERLOADED))),
        "response_fails" => respond(200, SSE, format!("{RESPONSE_CREATED}{RESPONSE_FAILED}")),
        "no_usage" => respond(200, SSE, format!("{CHUNK}{CHUNK}data: [DONE]\n\n")),
        "chat" => respond(200, "application/json", include_str!("fixtures/chat.json")),
        "stream" => respond(200, SSE, Body::from_stream(small_pieces(STREAM))),
        "completions" => respond(200, SSE, include_str!("fixtures/completions.sse")),
        "busy" => respond(200, SSE, include_str!("fixtures/busy.sse")),
        "dies" => respond(200, SSE, after_first_event(seen, Body::from(include_str!("fixtures/dies.sse")))),
        "too_long" => respond(400, "application/json", include_str!("fixtures/too_long.json")),
        "unknown_model" => respond(404, "application/json", include_str!("fixtures/unknown_model.json")),
        "unauthorized" => respond(401, "application/json", r#"{"error":"Unauthorized"}"#),
        "error_in_200" => {
            respond(200, "application/json", r#"{"error":{"message":"Network connection lost.","code":502}}"#)
        }
        "overloaded" => limited("7"),
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

/// An answer that comes once the test says so.
async fn slow(seen: &Arc<Seen>) -> Response {
    let watch = Watch(seen.clone());
    seen.arrived.notify_one();
    seen.go_on.notified().await;
    drop(watch);
    respond(200, SSE, STREAM)
}

fn limited(retry_after: &'static str) -> Response {
    let mut response =
        respond(429, "application/json", r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#);
    response.headers_mut().insert("retry-after", http::HeaderValue::from_static(retry_after));
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
    after_events(seen, &[CHUNK], rest)
}

fn after_events(seen: Arc<Seen>, first: &[&'static str], rest: Body) -> Body {
    let rest = async move {
        seen.go_on.notified().await;
        rest.into_data_stream()
    };
    Body::from_stream(pieces(first).map_err(axum::Error::new).chain(stream::once(rest).flatten()))
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
