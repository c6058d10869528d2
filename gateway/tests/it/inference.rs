//! Calls that somebody waits for.

use crate::{app::TestApp, model::Script};
use axum::body::Body;
use domain::{Class, Error};
use http::StatusCode;
use serde_json::json;

const EVENTS: [&str; 2] = ["data: {\"n\":1}\n\n", "data: [DONE]\n\n"];

#[tokio::test]
async fn an_answer_passes_through_and_names_its_deployment() {
    let app = TestApp::start().await;

    for path in ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"] {
        let answer = app.post(path, json!({"model": "m"})).await;

        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.body, "{\"ok\": 1}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("x-tandem-deployment"), "vllm-a");
        assert_eq!(answer.header("x-tandem-attempts"), "2");
    }
}

#[tokio::test]
async fn the_model_gets_the_bytes_as_sent_and_knows_for_whom() {
    let script = Script::default();
    let app = TestApp::with(script.clone()).await;
    let body = "{\n \"model\" : \"m\",\"vendor_extra\":1.0 }";

    let request = app
        .request("POST", "/v1/chat/completions")
        .header("content-type", "application/json; charset=utf-8")
        .header("x-request-id", "req_of_the_client")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let answer = app.send(request.body(Body::from(body)).unwrap()).await;

    let (context, request) = script.heard.lock().unwrap().remove(0);
    assert_eq!(request.body, body);
    assert_eq!(context.class, Class::Interactive);
    assert_eq!(context.tenant, app.store.ensure_tenant("acme").await.unwrap().id);
    assert!(context.key.is_some() && context.deadline.is_some() && context.trace.is_some());
    assert_eq!(context.request_id.as_str(), answer.header("x-request-id"));
}

#[tokio::test]
async fn a_stream_passes_through() {
    let app = TestApp::with(Script { events: EVENTS.to_vec(), ..Script::default() }).await;

    let answer = app.post("/v1/chat/completions", json!({"model": "m", "stream": true})).await;

    assert_eq!(answer.body, EVENTS.concat());
    assert!(answer.header("content-type").starts_with("text/event-stream"));
}

#[tokio::test]
async fn a_stream_that_outlives_the_drain_ends_with_a_typed_error() {
    let app = TestApp::with(Script { events: EVENTS[..1].to_vec(), hangs: true, ..Script::default() }).await;

    app.drain.begin();
    let answer = app.post("/v1/chat/completions", json!({"model": "m", "stream": true})).await;

    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let last = text.strip_prefix(EVENTS[0]).unwrap().strip_prefix("data: ").unwrap();
    let event: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(event["error"]["code"], "server_draining");
}

#[tokio::test]
async fn a_whole_answer_that_is_cut_breaks_the_connection() {
    let app = TestApp::with(Script { is_cut: true, ..Script::default() }).await;

    let broken = app.try_post("/v1/chat/completions", json!({"model": "m"})).await;

    assert!(broken.is_err());
}

#[tokio::test]
async fn a_failure_before_the_first_byte_has_its_own_status() {
    let fails: fn() -> Error = || Error::unavailable("No deployment can answer.").with_source("host 10.0.0.7 is down");
    let app = TestApp::with(Script { fails: Some(fails), ..Script::default() }).await;

    let answer = app.post("/v1/chat/completions", json!({"model": "m"})).await;

    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.error()["message"], "No deployment can answer.");
}

#[tokio::test]
async fn models_are_listed_and_read_by_names_with_slashes() {
    let app = TestApp::start().await;

    let list = app.get("/v1/models").await.ok();
    let one = app.get("/v1/models/org/m").await.ok();

    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    let expected = json!({"id": "org/m", "object": "model", "created": 1, "owned_by": "test", "max_model_len": 8});
    assert_eq!(one, expected);
}

#[tokio::test]
async fn the_start_page_needs_no_key_and_owns_up_to_the_simulator() {
    let app = TestApp::start().await;

    let page = app.send(http::Request::get("/").body(Body::empty()).unwrap()).await;

    assert_eq!(page.status, StatusCode::OK);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(String::from_utf8_lossy(&page.body).contains("simulator"));
}
