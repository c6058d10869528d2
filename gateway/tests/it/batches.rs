//! Batches as their owner sees them, before any worker does.

use crate::{
    app::{TestApp, form, line},
    model::Script,
};
use async_trait::async_trait;
use axum::body::Body;
use domain::{BatchId, Error, Pointer, PointerKind, WorkerId};
use futures::stream::BoxStream;
use http::StatusCode;
use queue::{Delivery, Doorbell};
use serde_json::{Value, json};
use std::sync::Arc;

const CHAT: &str = "/v1/chat/completions";

async fn create(app: &TestApp, extra: Value) -> Value {
    let file = app.upload(&line("a")).await;
    let mut body = json!({"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    app.post("/v1/batches", body).await.ok()
}

async fn cancel(app: &TestApp, batch: &Value) -> crate::app::Answer {
    let path = format!("/v1/batches/{}/cancel", batch["id"].as_str().unwrap());
    app.send(app.request("POST", &path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_new_batch_has_every_key_of_the_api() {
    let app = TestApp::start().await;

    let batch = create(&app, json!({"metadata": {"team": "search"}})).await;

    assert_eq!(batch["status"], "validating");
    assert_eq!((batch["object"].as_str(), batch["endpoint"].as_str()), (Some("batch"), Some(CHAT)));
    assert_eq!(batch["completion_window"], "24h");
    assert_eq!(batch["expires_at"].as_i64().unwrap() - batch["created_at"].as_i64().unwrap(), 86_400);
    assert_eq!(batch["metadata"], json!({"team": "search"}));
    let counts = json!({"total": 0, "completed": 0, "failed": 0, "cancelled": 0, "expired": 0});
    assert_eq!(batch["request_counts"], counts);
    let keys = batch.as_object().unwrap();
    for key in [
        "model",
        "errors",
        "output_file_id",
        "error_file_id",
        "in_progress_at",
        "finalizing_at",
        "completed_at",
        "failed_at",
        "expired_at",
        "cancelling_at",
        "cancelled_at",
    ] {
        assert_eq!(keys.get(key), Some(&Value::Null), "{key}");
    }
}

#[tokio::test]
async fn creating_a_batch_rings_for_its_validation() {
    let app = TestApp::start().await;

    let batch = create(&app, json!({})).await;

    let bells = app.store.take_bells(10, 1_000).await.unwrap();
    assert_eq!(bells.len(), 1);
    assert_eq!(
        (bells[0].pointer.kind, bells[0].pointer.id.as_str()),
        (PointerKind::Validate, batch["id"].as_str().unwrap())
    );
}

#[tokio::test]
async fn a_file_of_another_purpose_is_no_input() {
    let app = TestApp::start().await;
    let file = app.post_form(form(&[("purpose", "user_data")], Some(("a.jsonl", &line("a"))))).await.ok();

    let body = json!({"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"});
    let answer = app.post("/v1/batches", body).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let error = answer.error();
    assert_eq!(error["param"], "input_file_id");
    assert!(error["message"].as_str().unwrap().contains("'user_data'"));
}

#[tokio::test]
async fn a_deleted_file_is_no_input() {
    let app = TestApp::start().await;
    let file = app.upload(&line("a")).await;
    app.delete(&format!("/v1/files/{file}")).await.ok();

    let body = json!({"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"});

    assert_eq!(app.post("/v1/batches", body).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_batch_can_be_read_back() {
    let app = TestApp::start().await;
    let batch = create(&app, json!({"completion_window": "2d", "metadata": null})).await;

    let read = app.get(&format!("/v1/batches/{}", batch["id"].as_str().unwrap())).await.ok();

    assert_eq!(read, batch);
    assert_eq!(read["completion_window"], "48h");
    assert_eq!(read["metadata"], Value::Null);
}

#[tokio::test]
async fn pages_of_one_see_every_batch_once_newest_first() {
    let app = TestApp::start().await;
    let mut created = Vec::new();
    for _ in 0..4 {
        created.insert(0, create(&app, json!({})).await["id"].as_str().unwrap().to_owned());
    }

    let mut seen = Vec::new();
    let mut path = "/v1/batches?limit=1".to_owned();
    loop {
        let page = app.get(&path).await.ok();
        let last = page["last_id"].as_str().unwrap().to_owned();
        path = format!("/v1/batches?limit=1&after={last}");
        seen.push(last);
        if page["has_more"] == json!(false) {
            break;
        }
    }

    assert_eq!(seen, created);
}

#[tokio::test]
async fn a_cancel_may_be_repeated() {
    let app = TestApp::start().await;
    let batch = create(&app, json!({})).await;

    let first = cancel(&app, &batch).await.ok();
    let second = cancel(&app, &batch).await.ok();

    assert_eq!(first["status"], "cancelling");
    assert!(first["cancelling_at"].is_i64());
    assert_eq!(second, first);
}

#[tokio::test]
async fn a_batch_that_failed_says_why_and_can_not_be_cancelled() {
    let app = TestApp::start().await;
    let batch = create(&app, json!({})).await;
    let id = batch["id"].as_str().unwrap();
    let lease = app.store.claim_batch(&BatchId::from_string(id), &WorkerId::generate(), 1_000).await.unwrap().unwrap();
    let error = json!({"code": "invalid_json_line", "message": "m", "param": null, "line": 3});
    assert!(app.store.fail_validation(&lease, &json!([error]).to_string()).await.unwrap());

    let answer = cancel(&app, &batch).await;

    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.error()["type"], "invalid_request_error");
    let read = app.get(&format!("/v1/batches/{id}")).await.ok();
    assert_eq!(read["status"], "failed");
    assert!(read["failed_at"].is_i64());
    assert_eq!(read["errors"], json!({"object": "list", "data": [error]}));
}

#[tokio::test]
async fn a_batch_is_made_even_when_the_queue_is_down() {
    let app = TestApp::with_doorbell(Script::default(), |_| Arc::new(Broken)).await;

    let batch = create(&app, json!({})).await;

    assert_eq!(batch["status"], "validating");
    assert_eq!(cancel(&app, &batch).await.ok()["status"], "cancelling");
}

/// A doorbell out of order.
struct Broken;

#[async_trait]
impl Doorbell for Broken {
    async fn ring(&self, _: &[Pointer]) -> domain::Result<()> {
        Err(Error::unavailable("The broker is down."))
    }

    async fn listen(&self, _: usize) -> domain::Result<BoxStream<'static, Delivery>> {
        Err(Error::unavailable("The broker is down."))
    }

    async fn depth(&self) -> domain::Result<Option<u64>> {
        Ok(None)
    }

    async fn health(&self) -> domain::Result<()> {
        Err(Error::unavailable("The broker is down."))
    }
}
