//! When and how much of a batch runs, as its owner says it.

use crate::app::{Answer, TestApp, line};
use axum::body::Body;
use domain::{Endpoint, Limit, LimitId, LimitKind, SubjectKind};
use http::StatusCode;
use serde_json::{Value, json};
use store::Author;

async fn create(app: &TestApp, extra: Value) -> Answer {
    let file = app.upload(&(line("a") + &line("b"))).await;
    app.post("/v1/batches", with_input(&file, extra)).await
}

fn with_input(file: &str, extra: Value) -> Value {
    let endpoint = Endpoint::ChatCompletions.as_str();
    let mut body = json!({"input_file_id": file, "endpoint": endpoint, "completion_window": "24h"});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

async fn patch(app: &TestApp, batch: &Value, body: Value) -> Answer {
    let request = app.request("PATCH", &path(batch, "")).header("content-type", "application/json");
    app.send(request.body(Body::from(body.to_string())).unwrap()).await
}

async fn tell(app: &TestApp, batch: &Value, order: &str) -> Answer {
    app.send(app.request("POST", &path(batch, order)).body(Body::empty()).unwrap()).await
}

fn path(batch: &Value, order: &str) -> String {
    format!("/v1/batches/{}{order}", batch["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_batch_shows_the_terms_it_was_made_with() {
    let app = TestApp::start().await;
    let plain = create(&app, json!({})).await.ok();
    let begin = plain["created_at"].as_i64().unwrap() + 3_600;
    let between = json!({"start": "22:00", "end": "06:00"});

    let terms = json!({"priority": "idle", "not_before": begin, "run_between": between, "max_concurrency": 8});
    let batch = create(&app, terms.clone()).await.ok();

    for key in ["priority", "not_before", "run_between", "max_concurrency"] {
        assert_eq!(batch[key], terms[key], "{key}");
    }
    assert_eq!(
        (&plain["priority"], &plain["paused_at"], &plain["run_between"]),
        (&json!("standard"), &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn terms_that_make_no_sense_are_refused_by_name() {
    let app = TestApp::start().await;

    for (terms, param) in [
        (json!({"priority": "first"}), "priority"),
        (json!({"not_before": 1_790_000_000_000_i64}), "not_before"),
        (json!({"not_before": 4_000_000_000_i64}), "not_before"),
        (json!({"run_between": {"start": "22:00", "end": "22:00"}}), "run_between"),
        (json!({"max_concurrency": 0}), "max_concurrency"),
    ] {
        let refused = create(&app, terms.clone()).await;
        assert_eq!((refused.status, &refused.error()["param"]), (StatusCode::BAD_REQUEST, &json!(param)), "{terms}");
    }
}

#[tokio::test]
async fn a_running_batch_is_changed_and_null_takes_back() {
    let app = TestApp::start().await;
    let batch = create(&app, json!({"max_concurrency": 8, "priority": "idle"})).await.ok();
    let deadline = batch["expires_at"].as_i64().unwrap() + 3_600;

    let changed =
        patch(&app, &batch, json!({"priority": "urgent", "max_concurrency": null, "expires_at": deadline})).await.ok();

    assert_eq!((&changed["priority"], &changed["max_concurrency"]), (&json!("urgent"), &Value::Null));
    assert_eq!(changed["expires_at"], json!(deadline));
    assert_eq!(app.get(&path(&batch, "")).await.ok(), changed);
    for (body, param) in [(json!({}), Value::Null), (json!({"expires_at": 1}), json!("expires_at"))] {
        let refused = patch(&app, &batch, body.clone()).await;
        assert_eq!((refused.status, &refused.error()["param"]), (StatusCode::BAD_REQUEST, &param), "{body}");
    }
    let unknown = patch(&app, &json!({"id": "batch_x"}), json!({"priority": "idle"})).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_pause_is_shown_and_ended() {
    let app = TestApp::start().await;
    let batch = create(&app, json!({})).await.ok();

    let paused = tell(&app, &batch, "/pause").await.ok();
    let resumed = tell(&app, &batch, "/resume?extend_deadline=true").await.ok();

    assert!(paused["paused_at"].is_i64());
    assert_eq!((&paused["status"], &resumed["paused_at"]), (&json!("validating"), &Value::Null));
    tell(&app, &batch, "/cancel").await.ok();
    let late = tell(&app, &batch, "/pause").await;
    assert_eq!((late.status, &late.error()["type"]), (StatusCode::CONFLICT, &json!("invalid_request_error")));
}

#[tokio::test]
async fn a_batch_beyond_the_enqueued_tokens_is_a_429_at_once() {
    let app = TestApp::start().await;
    let tenant = app.store.ensure_tenant("acme").await.unwrap().id;
    let limit = Limit {
        id: LimitId::generate(),
        subject: tenant.to_string(),
        tenant,
        subject_kind: SubjectKind::Tenant,
        model: None,
        kind: LimitKind::EnqueuedTokens,
        amount: 90,
    };
    app.store.create_limit(&Author { actor: "test".to_owned(), request_id: None }, &limit).await.unwrap();
    let first = create(&app, json!({})).await.ok();
    let other = app.beside(crate::model::Script::default());

    let refused = create(&other, json!({})).await;

    assert_eq!(
        (refused.status, &refused.error()["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("token_limit_exceeded"))
    );
    tell(&app, &first, "/cancel").await.ok();
    create(&other, json!({})).await.ok();
}

#[tokio::test]
async fn a_quote_knows_nothing_of_time_before_anything_was_measured() {
    let app = TestApp::start().await;
    let file = app.upload(&(line("a") + &line("b"))).await;

    let quote = app.post("/v1/batches/quote", with_input(&file, json!({}))).await.ok();

    assert_eq!(
        (&quote["object"], &quote["lines"], &quote["input_errors"]),
        (&json!("batch.quote"), &json!(2), &json!(0))
    );
    assert_eq!(quote["prompt_tokens"], json!(line("a").len() / 4 * 2));
    for unknown in ["tokens_per_second", "eta_seconds", "chance_of_missing_window"] {
        assert_eq!(quote[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(app.get("/v1/batches").await.ok()["data"], json!([]), "nothing was made");
}

#[tokio::test]
async fn a_quote_counts_what_goes_before() {
    let app = TestApp::start().await;
    let file = app.upload(&line("a")).await;
    let ahead = async |terms: Value| {
        let quote = app.post("/v1/batches/quote", with_input(&file, terms)).await.ok();
        quote["tokens_ahead"].as_i64().unwrap()
    };
    create(&app, json!({"completion_window": "2h"})).await.ok();

    let waiting = i64::try_from(line("a").len() / 4 * 2).unwrap();
    for (terms, tokens) in [
        (json!({}), waiting),
        (json!({"completion_window": "1h"}), 0),
        (json!({"priority": "urgent"}), 0),
        (json!({"priority": "idle", "completion_window": "1h"}), waiting),
    ] {
        assert_eq!(ahead(terms.clone()).await, tokens, "{terms}");
    }
}
