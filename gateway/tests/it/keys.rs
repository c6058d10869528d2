//! How soon keys begin and cease to work, and what they may do.

use crate::app::{Answer, TestApp, as_key, key_like, line, new_key};
use axum::body::Body;
use domain::{ModelAccess, Scope, Scopes};
use http::StatusCode;
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use store::NewKey;

async fn status(app: &TestApp, key: &str) -> StatusCode {
    app.send(as_key(key, "GET", "/v1/models").body(Body::empty()).unwrap()).await.status
}

#[tokio::test]
async fn a_new_key_works_at_once() {
    let app = TestApp::start().await;
    assert_eq!(status(&app, "tdm_unknown").await, StatusCode::UNAUTHORIZED);

    let (_, secret) = new_key(&app.store, "acme").await;

    assert_eq!(status(&app, &secret).await, StatusCode::OK);
}

#[tokio::test]
async fn a_revoked_key_stops_after_the_next_refresh() {
    let app = TestApp::start().await;
    let (id, secret) = new_key(&app.store, "acme").await;
    assert_eq!(status(&app, &secret).await, StatusCode::OK);
    let background = tokio::spawn(app.gateway.clone().run_background(app.drain.clone()));

    app.store.revoke_key(&id).await.unwrap();

    let stops = async {
        while status(&app, &secret).await == StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), stops).await.unwrap();
    assert_eq!(status(&app, &secret).await, StatusCode::UNAUTHORIZED);
    app.drain.begin();
    background.await.unwrap().unwrap();
}

#[tokio::test]
async fn known_keys_go_on_working_without_the_database() {
    let app = TestApp::start().await;
    assert_eq!(status(&app, &app.key).await, StatusCode::OK);

    app.store.close().await;

    assert_eq!(status(&app, &app.key).await, StatusCode::OK);
    assert_eq!(status(&app, "tdm_unknown").await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_key_being_rotated_works_with_both_secrets() {
    let app = TestApp::start().await;
    let (id, first) = new_key(&app.store, "acme").await;
    assert_eq!(status(&app, &first).await, StatusCode::OK);

    let (_, second) = app.store.rotate_key(&id, "live", Duration::from_secs(60)).await.unwrap().unwrap();

    assert_eq!(status(&app, &second).await, StatusCode::OK);
    assert_eq!(status(&app, &first).await, StatusCode::OK);
    let (_, third) = app.store.rotate_key(&id, "live", Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(status(&app, &third).await, StatusCode::OK);
    assert_eq!(status(&app, &second).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_works_until_its_end() {
    let app = TestApp::start().await;
    let now_ms = app.store.now_ms().await.unwrap();
    let short = NewKey { expires_at_ms: Some(now_ms + 150), ..NewKey::named("short", Scopes::USER) };
    let (_, secret) = key_like(&app.store, "acme", &short).await;
    assert_eq!(status(&app, &secret).await, StatusCode::OK);

    let ends = async {
        while status(&app, &secret).await == StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };

    tokio::time::timeout(Duration::from_secs(10), ends).await.unwrap();
    assert!(app.store.now_ms().await.unwrap() >= now_ms + 150);
}

#[tokio::test]
async fn the_last_use_is_written_down_at_the_end() {
    let app = TestApp::start().await;
    let (id, secret) = new_key(&app.store, "acme").await;
    assert_eq!(status(&app, &secret).await, StatusCode::OK);
    assert_eq!(app.store.key(&id).await.unwrap().unwrap().last_used_at_ms, None, "no request writes");

    app.drain.begin();
    app.gateway.clone().run_background(app.drain.clone()).await.unwrap();

    assert!(app.store.key(&id).await.unwrap().unwrap().last_used_at_ms.is_some());
}

#[tokio::test]
async fn each_part_of_the_api_needs_its_scope() {
    let app = TestApp::start().await;
    for scope in Scope::ALL {
        let only = NewKey::named("narrow", Scopes::default().with(scope));
        let (_, secret) = key_like(&app.store, "acme", &only).await;

        for (needed, method, path) in [
            (Scope::Inference, "GET", "/v1/models"),
            (Scope::Inference, "POST", "/v1/chat/completions"),
            (Scope::Inference, "POST", "/v1/messages"),
            (Scope::Files, "GET", "/v1/files"),
            (Scope::Files, "GET", "/v1/files/f/content"),
            (Scope::Batches, "GET", "/v1/batches"),
            (Scope::Batches, "POST", "/v1/batches/b/cancel"),
        ] {
            let answer = app.send(as_key(&secret, method, path).body(Body::empty()).unwrap()).await;

            let is_refused = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(is_refused, scope != needed, "{scope:?} {method} {path}: {}", answer.status);
            if is_refused {
                let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
                assert!(message.contains(&format!("`{}`", needed.as_str())), "{message}");
                assert!(message.contains(&format!("`{}`", scope.as_str())), "{message}");
            }
        }
    }
}

async fn narrow_key(app: &TestApp) -> String {
    let models = ModelAccess::Only(BTreeSet::from(["org/m".to_owned()]));
    key_like(&app.store, "acme", &NewKey { models, ..NewKey::named("narrow", Scopes::USER) }).await.1
}

async fn post(app: &TestApp, key: &str, path: &str, body: serde_json::Value) -> Answer {
    let request = as_key(key, "POST", path).header("content-type", "application/json");
    app.send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_model_that_is_not_allowed_does_not_exist() {
    let app = TestApp::start().await;
    let key = narrow_key(&app).await;
    let chat = |model: &str| json!({"model": model, "messages": []});

    let refused = post(&app, &key, "/v1/chat/completions", chat("m")).await;
    let unknown = post(&app, &app.key, "/v1/chat/completions", chat("x")).await;
    let listed = app.send(as_key(&key, "GET", "/v1/models").body(Body::empty()).unwrap()).await.ok();
    let one = app.send(as_key(&key, "GET", "/v1/models/m").body(Body::empty()).unwrap()).await;

    assert_eq!((refused.status, refused.error()["code"].as_str()), (StatusCode::NOT_FOUND, Some("model_not_found")));
    assert_eq!(refused.error()["message"].as_str().unwrap().replace("`m`", "`x`"), unknown.error()["message"]);
    assert_eq!(post(&app, &key, "/v1/chat/completions", chat("org/m")).await.status, StatusCode::OK);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(one.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_batch_may_ask_allowed_models_only() {
    let app = TestApp::start().await;
    let key = narrow_key(&app).await;
    let allowed = app.upload(&line("a").replace("\"m\"", "\"org/m\"")).await;
    let mixed = app.upload(&(line("a").replace("\"m\"", "\"org/m\"") + &line("b"))).await;
    let batch =
        |file: &str| json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"});

    let refused = post(&app, &key, "/v1/batches", batch(&mixed)).await;

    assert_eq!((refused.status, refused.error()["code"].as_str()), (StatusCode::NOT_FOUND, Some("model_not_found")));
    assert!(refused.error()["message"].as_str().unwrap().contains("line 2"));
    assert_eq!(post(&app, &key, "/v1/batches", batch(&allowed)).await.status, StatusCode::OK);
    assert_eq!(post(&app, &app.key, "/v1/batches", batch(&mixed)).await.status, StatusCode::OK);
}
