//! How a server ends.

use crate::client::{Connection, Server};
use axum::{Router, body::Body, routing::get};
use chassis::{
    drain::{Drain, Readiness},
    http::admin_routes,
    telemetry::{Telemetry, TelemetrySettings},
};
use futures::{StreamExt, stream};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::Notify};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(30);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: t\r\n\r\n";

/// Sends `first`, waits for `go`, and sends `last`.
fn two_parts(go: Arc<Notify>) -> Router {
    Router::new().route(
        "/",
        get(async move || {
            let last = stream::once(async move {
                go.notified().await;
                "last"
            });
            Body::from_stream(stream::iter(["first"]).chain(last).map(Ok::<_, Infallible>))
        }),
    )
}

#[tokio::test]
async fn a_stream_in_flight_finishes_and_the_listener_is_closed_meanwhile() {
    let go = Arc::new(Notify::new());
    let server = Server::start(two_parts(go.clone()), LONG).await;
    let mut client = Connection::open(server.addr).await;
    client.write(REQUEST).await;
    client.read_until("first").await;

    server.drain.begin();
    while TcpStream::connect(server.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go.notify_one();

    assert!(client.read_to_end().await.contains("last"));
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn idle_connections_don_t_hold_the_server_up() {
    let server = Server::start(Router::new().route("/", get(async || "hello")), LONG).await;
    let mut used = Connection::open(server.addr).await;
    used.write(REQUEST).await;
    used.read_until("hello").await;
    let mut unused = Connection::open(server.addr).await;

    server.drain.begin();

    server.task.await.unwrap().unwrap();
    assert_eq!(used.read_to_end().await, "");
    assert_eq!(unused.read_to_end().await, "");
}

#[tokio::test]
async fn a_stream_that_outlasts_the_grace_is_cut() {
    let server = Server::start(two_parts(Arc::default()), Duration::from_millis(50)).await;
    let mut client = Connection::open(server.addr).await;
    client.write(REQUEST).await;
    client.read_until("first").await;

    server.drain.begin();
    server.task.await.unwrap().unwrap();

    // No last chunk: the client can tell that something is missing.
    assert!(!client.read_to_end().await.contains("0\r\n\r\n"));
}

#[tokio::test]
async fn after_the_grace_a_stream_has_time_to_say_that_it_ends() {
    let expired = CancellationToken::new();
    let told = expired.clone();
    let handler = get(async move || {
        let last = stream::once(async move {
            told.cancelled().await;
            "typed error"
        });
        Body::from_stream(stream::iter(["first"]).chain(last).map(Ok::<_, Infallible>))
    });
    let server = Server::start(Router::new().route("/", handler), Duration::from_millis(50)).await;
    let mut client = Connection::open(server.addr).await;
    client.write(REQUEST).await;
    client.read_until("first").await;

    server.drain.begin();
    server.drain.expired().cancelled().await;
    expired.cancel();

    let end = client.read_to_end().await;
    assert!(end.contains("typed error") && end.ends_with("0\r\n\r\n"), "{end}");
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn probes_tell_life_from_readiness() {
    let process = Drain::new(LONG);
    let readiness = Readiness::new(&process);
    let database = readiness.flag("database");
    let telemetry = Telemetry::new(&TelemetrySettings::default()).unwrap();
    let server = Server::start(admin_routes(readiness, telemetry), LONG).await;

    let starting = server.get("/readyz", "").await;
    database.up();
    let ready = server.get("/readyz", "").await;
    process.begin();
    let draining = server.get("/readyz", "").await;

    assert_eq!(starting.status(), 503);
    assert!(starting.0.contains("database: not started"), "{}", starting.0);
    assert_eq!(ready.status(), 200);
    assert_eq!(draining.status(), 503);
    assert_eq!(server.get("/livez", "").await.status(), 200);
}
