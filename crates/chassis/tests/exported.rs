//! One process with telemetry on: what a request leaves at a collector and on `/metrics`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use axum::{Router, body::Bytes, extract::State, response::IntoResponse, routing::post};
use chassis::{
    drain::{Drain, Readiness},
    http::{HttpSettings, admin_routes, serve, shell},
    telemetry::{self, LogFormat, TelemetrySettings},
};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What came to each path.
type Received = Arc<Mutex<Vec<(&'static str, Bytes)>>>;

async fn start(router: Router) -> SocketAddr {
    let listener = chassis::http::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router, Drain::new(Duration::from_secs(5))));
    addr
}

/// An OTLP collector as far as an exporter can tell: gRPC over HTTP/2 without TLS, and an empty answer.
fn collector(received: Received) -> Router {
    let path = |kind: &str, name: &str| format!("/opentelemetry.proto.collector.{kind}.v1.{name}/Export");
    let keep = |kind: &'static str| {
        post(async move |State(received): State<Received>, body: Bytes| {
            received.lock().unwrap().push((kind, body));
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
            let empty = Full::new(Bytes::from_static(&[0; 5]));
            let body = empty.with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) });
            ([("content-type", "application/grpc")], axum::body::Body::new(body)).into_response()
        })
    };
    Router::new()
        .route(&path("trace", "TraceService"), keep("traces"))
        .route(&path("metrics", "MetricsService"), keep("metrics"))
        .with_state(received)
}

async fn get(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_leaves_a_span_and_a_measurement() {
    let received = Received::default();
    let endpoint = format!("http://{}", start(collector(received.clone())).await);
    let settings =
        TelemetrySettings { otlp_endpoint: Some(endpoint), format: LogFormat::Json, ..TelemetrySettings::default() };
    let telemetry = telemetry::init(&settings).unwrap();
    let routes = Router::new().route("/things/{id}", axum::routing::get(async || "hello"));
    let api = start(shell(routes, &HttpSettings::default())).await;
    let readiness = Readiness::new(&Drain::new(Duration::ZERO));
    let admin = start(admin_routes(readiness, telemetry.clone())).await;

    assert!(get(api, "/things/7").await.ends_with("hello"));
    telemetry.flush().await;
    let metrics = get(admin, "/metrics").await;

    let received = received.lock().unwrap().clone();
    let trace_id = u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes();
    let traces: Vec<_> = received.iter().filter(|(kind, _)| *kind == "traces").collect();
    assert!(traces.iter().any(|(_, body)| contains(body, &trace_id) && contains(body, b"GET /things/{id}")));
    assert!(received.iter().any(|(kind, body)| *kind == "metrics" && contains(body, b"http.server.request.duration")));
    let count =
        r#"http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200""#;
    assert!(metrics.contains(count) && metrics.contains(r#"http_route="/things/{id}""#), "{metrics}");
    assert!(metrics.contains("http_server_active_requests 0"), "{metrics}");
    assert!(telemetry::init(&settings).is_err());
}
