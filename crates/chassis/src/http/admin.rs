//! The port for probes and metrics, apart from the API's.

use crate::{drain::Readiness, telemetry::Telemetry};
use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::{StatusCode, header::CONTENT_TYPE};

/// `/livez` (the process runs), `/readyz` (it wants traffic; 503 with the reasons otherwise) and `/metrics`.
pub fn admin_routes(readiness: Readiness, telemetry: Telemetry) -> Router {
    let probes = Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(ready)).with_state(readiness);
    Router::new().route("/metrics", get(metrics)).with_state(telemetry).merge(probes)
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    let obstacles = readiness.obstacles();
    if obstacles.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, obstacles.join("\n") + "\n")
    }
}

async fn metrics(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry.prometheus_text())
}
