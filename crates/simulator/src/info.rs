//! The endpoints that generate nothing: models, health, version, metrics, and the simulator's own `/sim/*`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::{
    faults::Armed,
    refusal::Refusal,
    simulator::{Simulator, Stats},
};

/// The version whose answers are imitated.
const VERSION: &str = "0.32.0";

/// `GET /v1/models`
pub(crate) async fn models(State(sim): State<Arc<Simulator>>) -> Json<Value> {
    let models = sim.settings.models.iter().map(|name| model(name, &sim));
    Json(json!({"object": "list", "data": models.collect::<Vec<_>>()}))
}

/// `GET /health`: an empty 200, whatever the load.
pub(crate) async fn health() -> StatusCode {
    StatusCode::OK
}

/// `GET /version`
pub(crate) async fn version() -> Json<Value> {
    Json(json!({"version": VERSION}))
}

/// `GET /metrics`
pub(crate) async fn metrics(State(sim): State<Arc<Simulator>>) -> Response {
    let text = sim.metrics.render(sim.settings.first_model(), sim.scheduler.load(), &sim.scheduler.totals);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// `GET /sim/stats`
pub(crate) async fn stats(State(sim): State<Arc<Simulator>>) -> Json<Stats> {
    Json(sim.stats())
}

/// `GET /sim/faults`
pub(crate) async fn armed_faults(State(sim): State<Arc<Simulator>>) -> Json<Vec<Armed>> {
    Json(sim.faults.armed())
}

/// `POST /sim/faults`
pub(crate) async fn arm_fault(State(sim): State<Arc<Simulator>>, body: Bytes) -> Response {
    let armed = serde_json::from_slice::<Armed>(&body).map_err(|error| error.to_string());
    match armed.and_then(|armed| sim.faults.arm(armed)) {
        Ok(()) => Json(sim.faults.armed()).into_response(),
        Err(mistake) => Refusal::bad(Some("fault"), mistake).into_response(),
    }
}

/// `DELETE /sim/faults`
pub(crate) async fn disarm_faults(State(sim): State<Arc<Simulator>>) -> StatusCode {
    sim.faults.disarm();
    StatusCode::NO_CONTENT
}

fn model(name: &str, sim: &Simulator) -> Value {
    json!({
        "id": name, "object": "model", "created": sim.started, "owned_by": "vllm", "root": name, "parent": null,
        "max_model_len": sim.settings.context_tokens(),
        "permission": [{
            "id": format!("modelperm-{:016x}", sim.started), "object": "model_permission", "created": sim.started,
            "allow_create_engine": false, "allow_sampling": true, "allow_logprobs": true,
            "allow_search_indices": false, "allow_view": true, "allow_fine_tuning": false, "organization": "*",
            "group": null, "is_blocking": false,
        }],
    })
}
