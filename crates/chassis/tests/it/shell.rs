//! What the shell does to every request and answer.

use crate::client::{Answer, Server};
use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use chassis::http::{ApiError, HttpSettings, Origin, shell};
use domain::{RequestId, TraceContext};
use serde_json::{Value, json};
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(5);

fn routes() -> Router {
    Router::new()
        .route("/id", get(async |Extension(id): Extension<RequestId>| id.to_string()))
        .route("/trace", get(async |Extension(trace): Extension<TraceContext>| trace.traceparent()))
        .route("/echo", post(async |body: Bytes| body))
        .route("/large", post(async |body: Bytes| body.len().to_string()).layer(DefaultBodyLimit::max(4096)))
        .route("/json", post(async |Json(value): Json<Value>| Json(value)))
        .route("/panic", get(async || -> &'static str { panic!("the handler's own mistake") }))
        .route("/stuck", get(async || std::future::pending::<&'static str>().await))
        .route("/internal", get(async || ApiError(domain::Error::internal("the cause, for the log only"))))
        .route("/stream", get(slow_stream))
}

/// Begins at once, ends after the request timeout.
async fn slow_stream() -> Body {
    let later = futures::stream::once(async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok::<_, std::io::Error>("last")
    });
    Body::from_stream(futures::StreamExt::chain(futures::stream::iter([Ok("first ")]), later))
}

#[tokio::test]
async fn pages_of_named_origins_may_call_and_others_may_not() {
    let origin = Origin::try_from("https://console.example".to_owned()).unwrap();
    let settings = HttpSettings { cors_origins: vec![origin], ..HttpSettings::default() };
    let server = Server::start(shell(routes(), &settings), GRACE).await;

    let theirs = server.get("/id", "origin: https://console.example\r\n").await;
    let strangers = server.get("/id", "origin: https://other.example\r\n").await;

    assert_eq!(theirs.header("access-control-allow-origin"), Some("https://console.example"));
    assert_eq!(strangers.header("access-control-allow-origin"), None);
    assert_eq!(theirs.header("x-content-type-options"), Some("nosniff"));
}

async fn server() -> Server {
    let settings = HttpSettings {
        max_body_bytes: 1024,
        max_header_bytes: 2048,
        request_timeout: Duration::from_millis(100),
        ..HttpSettings::default()
    };
    Server::start(shell(routes(), &settings), GRACE).await
}

fn post_to(path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn assert_error(answer: &Answer, status: u16, code: Option<&str>) {
    assert_eq!(answer.status(), status, "{}", answer.0);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-request-id").is_some(), "{}", answer.0);
    let body = answer.json();
    let error = body["error"].as_object().unwrap();
    assert_eq!(error.keys().collect::<Vec<_>>(), ["message", "type", "param", "code"]);
    assert_eq!(error["code"], json!(code));
}

#[tokio::test]
async fn a_clients_request_id_reaches_the_handler_and_comes_back() {
    let answer = server().await.get("/id", "x-request-id: order-66/a\r\n").await;

    assert_eq!(answer.header("x-request-id"), Some("order-66/a"));
    assert!(answer.0.ends_with("order-66/a"), "{}", answer.0);
}

#[tokio::test]
async fn a_request_id_that_cannot_be_echoed_is_replaced() {
    let server = server().await;
    let long = "a".repeat(129);

    for bad in ["", "two words", "é", &long] {
        let answer = server.get("/id", &format!("x-request-id: {bad}\r\n")).await;
        let id = answer.header("x-request-id").unwrap();
        assert!(id.starts_with("req_") && answer.0.ends_with(id), "{bad}: {}", answer.0);
    }
}

#[tokio::test]
async fn the_longest_request_id_is_kept() {
    let longest = "a".repeat(128);

    let answer = server().await.get("/id", &format!("x-request-id: {longest}\r\n")).await;

    assert_eq!(answer.header("x-request-id"), Some(longest.as_str()));
}

#[tokio::test]
async fn a_request_joins_its_callers_trace() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    let answer = server().await.get("/trace", &format!("traceparent: {parent}\r\n")).await;

    assert!(answer.0.contains("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{}", answer.0);
    assert!(!answer.0.contains("00f067aa0ba902b7"), "{}", answer.0);
}

#[tokio::test]
async fn an_unknown_path_is_an_error_in_the_apis_shape() {
    let answer = server().await.get("/v1/nothing", "").await;

    assert_error(&answer, 404, Some("unknown_url"));
    assert!(answer.0.contains("GET /v1/nothing"), "{}", answer.0);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let answer = server().await.get("/echo", "").await;

    assert_error(&answer, 405, Some("method_not_allowed"));
    assert_eq!(answer.header("allow"), Some("POST"));
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_says_nothing() {
    let server = server().await;

    let answer = server.get("/panic", "").await;

    assert_error(&answer, 500, None);
    assert!(!answer.0.contains("mistake"), "{}", answer.0);
    assert_eq!(server.get("/id", "").await.status(), 200);
}

#[tokio::test]
async fn the_cause_of_an_internal_error_stays_inside() {
    let answer = server().await.get("/internal", "").await;

    assert_error(&answer, 500, None);
    assert!(!answer.0.contains("for the log only"), "{}", answer.0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_the_apis_shape() {
    let server = server().await;

    let announced = server.send(&post_to("/echo", "text/plain", &"x".repeat(1025))).await;
    let chunked = b"POST /echo HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("401\r\n{}\r\n0\r\n\r\n", "x".repeat(1025));
    let streamed = server.send(&[chunked.as_slice(), chunk.as_bytes()].concat()).await;

    assert_error(&announced, 413, None);
    assert!(announced.0.contains("1024 bytes"), "{}", announced.0);
    assert_error(&streamed, 413, None);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let answer = server().await.send(&post_to("/echo", "text/plain", &"x".repeat(1024))).await;

    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_route_may_have_its_own_body_limit() {
    let answer = server().await.send(&post_to("/large", "text/plain", &"x".repeat(4096))).await;

    assert!(answer.0.ends_with("4096"), "{}", answer.0);
}

#[tokio::test]
async fn what_an_extractor_refuses_has_the_apis_shape() {
    let server = server().await;

    let broken = server.send(&post_to("/json", "application/json", "{")).await;
    let untyped = server.send(&post_to("/json", "text/csv", "{}")).await;

    assert_error(&broken, 400, None);
    assert_error(&untyped, 415, None);
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let answer = server().await.get("/id", &format!("x-large: {}\r\n", "a".repeat(2048))).await;

    assert_error(&answer, 431, Some("headers_too_large"));
}

#[tokio::test]
async fn a_handler_that_never_answers_times_out() {
    let answer = server().await.get("/stuck", "").await;

    assert_error(&answer, 504, Some("request_timeout"));
}

#[tokio::test]
async fn a_stream_may_outlast_the_request_timeout() {
    let answer = server().await.get("/stream", "").await;

    assert_eq!(answer.status(), 200);
    assert!(answer.0.contains("first ") && answer.0.contains("last"), "{}", answer.0);
}
