//! Requests with an `Idempotency-Key`: run once, answered as often as asked.

use crate::{
    app::{Answer, BOUNDARY, TestApp, as_key, form},
    model::Script,
};
use axum::body::Body;
use domain::Error;
use futures::future::join_all;
use gateway::ReplaySettings;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use store::{Begun, IdempotencyClaim, IdempotencyKey};
use tokio::sync::Semaphore;

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const EVENTS: [&str; 3] = ["data: {\"n\":1}\n\n", "data: {\"n\":2}\n\n", "data: [DONE]\n\n"];
pub(crate) const NUMBERED: [&str; 3] =
    ["id: 1\ndata: {\"n\":1}\n\n", "id: 2\ndata: {\"n\":2}\n\n", "id: 3\ndata: [DONE]\n\n"];

pub(crate) fn plain() -> Value {
    json!({"model": "m"})
}

pub(crate) fn streamed() -> Value {
    json!({"model": "m", "stream": true})
}

pub(crate) fn request(app: &TestApp, key: &str, body: &Value, after: Option<u64>) -> Request<Body> {
    let request = app.request("POST", CHAT).header("content-type", "application/json").header("idempotency-key", key);
    let request = after.into_iter().fold(request, |request, after| request.header("last-event-id", after));
    request.body(Body::from(body.to_string())).unwrap()
}

pub(crate) async fn post(app: &TestApp, key: &str, body: Value) -> Answer {
    app.send(request(app, key, &body, None)).await
}

pub(crate) fn calls(script: &Script) -> usize {
    script.heard.lock().unwrap().len()
}

pub(crate) fn gated() -> (Arc<Semaphore>, Script) {
    let gate = Arc::new(Semaphore::new(0));
    (Arc::clone(&gate), Script { gate: Some(gate), ..Script::default() })
}

async fn upload(app: &TestApp, key: &str, boundary: &str, content: &str) -> Answer {
    let body = form(&[("purpose", "batch")], Some(("in.jsonl", content))).replace(BOUNDARY, boundary);
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let request = app.request("POST", "/v1/files").header("content-type", content_type).header("idempotency-key", key);
    app.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_repeat_gets_the_same_answer_and_the_model_hears_once() {
    let script = Script::default();
    let app = TestApp::with(script.clone()).await;

    let first = post(&app, "k", plain()).await;
    let again = post(&app, "k", plain()).await;

    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
    assert_eq!((again.header("content-type"), again.header("x-tandem-deployment")), ("application/json", "vllm-a"));
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"));
    assert_eq!(calls(&script), 1);
}

#[tokio::test]
async fn fifty_at_once_are_one_call_and_get_equal_bytes() {
    let (gate, script) = gated();
    let app = TestApp::with(script.clone()).await;

    let all = join_all((0..50).map(|_| post(&app, "k", plain())));
    let (answers, ()) = tokio::join!(all, async { gate.add_permits(50) });

    assert_eq!(calls(&script), 1);
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK && answer.body == "{\"ok\": 1}"));
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotent-replayed").is_empty()).count(), 1);
}

#[tokio::test]
async fn fifty_streams_at_once_are_one_call_too() {
    let script = Script { events: EVENTS.to_vec(), ..Script::default() };
    let app = TestApp::with(script.clone()).await;

    let answers = join_all((0..50).map(|_| post(&app, "k", streamed()))).await;

    assert_eq!(calls(&script), 1);
    assert!(answers.iter().all(|answer| answer.body == NUMBERED.concat()));
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    let app = TestApp::start().await;
    post(&app, "k", plain()).await;

    let other = post(&app, "k", json!({"model": "m", "n": 2})).await;
    let elsewhere = upload(&app, "k", "b", "x").await;

    for answer in [other, elsewhere] {
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.error()["code"], "idempotency_key_reused");
    }
}

#[tokio::test]
async fn keys_of_two_tenants_have_nothing_to_do_with_each_other() {
    let script = Script::default();
    let app = TestApp::with(script.clone()).await;
    post(&app, "k", plain()).await;

    let request = as_key(&app.stranger, "POST", CHAT).header("content-type", "application/json");
    let request = request.header("idempotency-key", "k").body(Body::from(plain().to_string())).unwrap();
    let theirs = app.send(request).await;

    assert_eq!((theirs.status, theirs.header("idempotent-replayed")), (StatusCode::OK, ""));
    assert_eq!(calls(&script), 2);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let app = TestApp::start().await;

    let answer = post(&app, "has space", plain()).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.error()["code"], "invalid_idempotency_key");
}

#[tokio::test]
async fn a_refusal_that_is_the_callers_is_kept_in_the_words_of_its_path() {
    let app = TestApp::start().await;
    let ask = |path: &str| {
        let request = app.request("POST", path).header("content-type", "application/json");
        request.header("idempotency-key", path).body(Body::from(r#"{"model":"nobody"}"#)).unwrap()
    };

    for path in [CHAT, "/v1/messages"] {
        let first = app.send(ask(path)).await;
        let again = app.send(ask(path)).await;

        assert_eq!((first.status, again.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
        assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &first.body));
    }
}

#[tokio::test]
async fn a_failure_releases_the_key() {
    let broken = Script { fails: Some(|| Error::unavailable("down")), ..Script::default() };
    let cut = Script { is_cut: true, ..Script::default() };
    let app = TestApp::with(broken).await;

    assert_eq!(post(&app, "k", plain()).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let cut = app.beside(cut);
    assert!(cut.try_send(request(&cut, "k", &plain(), None)).await.is_err());
    let whole = post(&app.beside(Script::default()), "k", plain()).await;

    assert_eq!((whole.status, whole.header("idempotent-replayed")), (StatusCode::OK, ""));
}

#[tokio::test]
async fn a_stream_that_ends_in_an_error_releases_the_key() {
    let app = TestApp::with(Script { events: EVENTS[..1].to_vec(), hangs: true, ..Script::default() }).await;

    app.drain.begin();
    let cut = post(&app, "k", streamed()).await;
    assert!(String::from_utf8_lossy(&cut.body).contains("server_draining"));
    let script = Script { events: EVENTS.to_vec(), ..Script::default() };
    let whole = post(&app.beside(script), "k", streamed()).await;

    assert_eq!(whole.body, NUMBERED.concat());
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed_and_then_what_comes() {
    let (gate, script) = gated();
    let script = Script { events: EVENTS[..2].to_vec(), late: EVENTS[2..].to_vec(), ..script };
    let app = TestApp::with(script.clone()).await;
    let mut first = app.open(request(&app, "k", &streamed(), None)).await.into_body();
    let seen = first.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(seen.starts_with(NUMBERED[0].as_bytes()));

    drop(first);
    let mut back = app.open(request(&app, "k", &streamed(), Some(1))).await;
    let missed = back.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    gate.add_permits(1);
    let rest = back.body_mut().collect().await.unwrap().to_bytes();

    assert_eq!(back.headers()["idempotent-replayed"], "true");
    assert_eq!([missed, rest].concat(), NUMBERED[1..].concat().as_bytes());
    let stored = app.send(request(&app, "k", &streamed(), Some(2))).await;
    assert_eq!((stored.body.as_ref(), calls(&script)), (NUMBERED[2].as_bytes(), 1));
}

#[tokio::test]
async fn a_request_that_nobody_comes_back_for_is_ended() {
    let (gate, script) = gated();
    let replay = ReplaySettings { grace_secs: 0, ..ReplaySettings::default() };
    let app = TestApp::with_replay(Script { late: EVENTS.to_vec(), ..script.clone() }, replay).await;

    drop(app.open(request(&app, "k", &streamed(), None)).await);
    gate.add_permits(EVENTS.len());
    let again = loop {
        // The first may still be ending.
        let answer = app.try_send(request(&app, "k", &streamed(), None)).await;
        if let Some(answer) = answer.ok().filter(|answer| answer.status == StatusCode::OK) {
            break answer;
        }
        tokio::task::yield_now().await;
    };

    assert!(again.body.ends_with(NUMBERED[2].as_bytes()));
}

#[tokio::test]
async fn an_answer_beyond_the_bound_is_given_whole_and_not_again() {
    let script = Script { events: EVENTS.to_vec(), ..Script::default() };
    let replay = ReplaySettings { max_body_bytes: 30, ..ReplaySettings::default() };
    let app = TestApp::with_replay(script.clone(), replay).await;

    let first = post(&app, "k", streamed()).await;
    let again = post(&app, "k", streamed()).await;

    assert_eq!(first.body, NUMBERED.concat());
    assert_eq!((again.status, &again.error()["code"]), (StatusCode::CONFLICT, &json!("idempotent_outcome_too_large")));
    assert_eq!(calls(&script), 1);
}

#[tokio::test]
async fn a_request_that_runs_on_another_replica_is_waited_for() {
    let (gate, script) = gated();
    let one = TestApp::with(script.clone()).await;
    let two = one.beside(script.clone());

    let both = async { tokio::join!(post(&one, "k", plain()), post(&two, "k", plain())) };
    let (both, ()) = tokio::join!(both, async { gate.add_permits(2) });

    assert_eq!((&both.0.body, both.0.status), (&both.1.body, both.1.status));
    assert_eq!(calls(&script), 1);
    let replayed = [&both.0, &both.1].map(|answer| answer.header("idempotent-replayed") == "true");
    assert_eq!(replayed.iter().filter(|is| **is).count(), 1);
}

#[tokio::test]
async fn a_request_whose_replica_died_runs_again() {
    let app = TestApp::start().await;
    let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let claim = IdempotencyClaim {
        key: IdempotencyKey {
            tenant: app.store.ensure_tenant("acme").await.unwrap().id,
            key_sha256: hex(&Sha256::digest("k")),
        },
        owner: "dead".to_owned(),
        request_sha256: hex(&Sha256::digest(format!("POST {CHAT}\n{}", plain()))),
    };
    assert_eq!(app.store.begin_idempotent(&claim, -1, 86_400_000).await.unwrap(), Begun::Started);

    let answer = post(&app, "k", plain()).await;

    assert_eq!((answer.status, answer.header("idempotent-replayed")), (StatusCode::OK, ""));
    assert!(!app.store.renew_idempotent(&claim, 1).await.unwrap());
}

#[tokio::test]
async fn an_upload_is_known_by_what_its_form_says() {
    let app = TestApp::start().await;
    let content = crate::app::line("a");

    let first = upload(&app, "k", "one-boundary", &content).await;
    let again = upload(&app, "k", "another-boundary", &content).await;
    let other = upload(&app, "k", "another-boundary", &crate::app::line("b")).await;

    assert_eq!((first.status, &first.body), (StatusCode::OK, &again.body));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(other.error()["code"], "idempotency_key_reused");
    assert_eq!(app.file_rows().await, 1);
}

#[tokio::test]
async fn uploads_at_once_make_one_file() {
    let app = TestApp::start().await;
    let content = crate::app::line("a");

    let answers = join_all((0..8).map(|_| upload(&app, "k", "b", &content))).await;

    assert!(answers.iter().all(|answer| answer.body == answers[0].body && answer.status == StatusCode::OK));
    assert_eq!(app.file_rows().await, 1);
}

#[tokio::test]
async fn a_batch_is_made_once() {
    let app = TestApp::start().await;
    let file = app.upload(&crate::app::line("a")).await;
    let body = json!({"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}).to_string();
    let make = || {
        let request = app.request("POST", "/v1/batches").header("content-type", "application/json");
        app.send(request.header("idempotency-key", "k").body(Body::from(body.clone())).unwrap())
    };

    let (first, again) = (make().await, make().await);

    assert_eq!(first.ok()["id"], again.ok()["id"]);
    assert_eq!(app.get("/v1/batches").await.ok()["data"].as_array().unwrap().len(), 1);
}
