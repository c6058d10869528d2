//! The other dialects at the edge, and what callers may wish for besides the answer.

use crate::{
    app::{TestApp, as_key},
    model::Script,
};
use axum::body::Body;
use domain::{Error, Money, Wishes};
use http::StatusCode;
use orchestrator::{Dialect, Served};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn every_dialect_reaches_the_model_as_it_was_written() {
    for (path, dialect) in [
        ("/v1/responses", Dialect::Responses),
        ("/v1/messages", Dialect::Messages),
        ("/v1/messages/count_tokens", Dialect::CountTokens),
    ] {
        let script = Script::default();
        let app = TestApp::with(script.clone()).await;

        let request = app.request("POST", path).header("content-type", "application/json");
        let request = request.header("anthropic-beta", "a-beta").body(Body::from(r#"{ "model":"m"}"#)).unwrap();
        let answer = app.send(request).await;

        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let (_, request) = script.heard.lock().unwrap().remove(0);
        assert_eq!((request.dialect, &request.body[..]), (dialect, &br#"{ "model":"m"}"#[..]));
        assert_eq!(request.betas.as_deref(), Some("a-beta"));
    }
}

#[tokio::test]
async fn errors_of_anthropics_api_are_in_its_words_whoever_has_them() {
    let fails: fn() -> Error = || Error::unavailable("No deployment can answer.");
    let app = TestApp::with(Script { fails: Some(fails), ..Script::default() }).await;
    let body = || Body::from(r#"{"model":"m"}"#);
    let request = || http::Request::post("/v1/messages").header("content-type", "application/json");

    let no_key = app.send(request().body(body()).unwrap()).await;
    let no_json = app.post("/v1/messages", Value::Null).await;
    let no_model = app.post("/v1/messages", json!({"model": "m"})).await;
    let elsewhere = app.post("/v1/chat/completions", json!({"model": "m"})).await;

    let kinds = [&no_key, &no_json, &no_model].map(|answer| answer.json()["error"]["type"].clone());
    assert_eq!(kinds, ["authentication_error", "invalid_request_error", "overloaded_error"]);
    assert_eq!(no_key.json()["type"], "error");
    assert_eq!((no_model.status, no_model.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert!(elsewhere.error()["code"].is_null() && elsewhere.json().get("type").is_none());
}

#[tokio::test]
async fn anthropics_key_header_opens_the_door() {
    let app = TestApp::start().await;

    let request = http::Request::post("/v1/messages").header("content-type", "application/json");
    let request = request.header("x-api-key", app.key.as_str()).body(Body::from(r#"{"model":"m"}"#)).unwrap();

    assert_eq!(app.send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn wishes_reach_the_model_and_nonsense_is_refused() {
    let script = Script::default();
    let app = TestApp::with(script.clone()).await;
    let request = |name: &'static str, value: &'static str| {
        let request = app.request("POST", "/v1/chat/completions").header("content-type", "application/json");
        request.header(name, value).body(Body::from(r#"{"model":"m","stream":true}"#)).unwrap()
    };

    app.send(request("x-request-timeout", "5")).await;
    app.send(request("x-tandem-cache", "off")).await;
    app.send(request("x-tandem-max-cost-usd", "0.5")).await;
    app.send(request("x-tandem-explain", "1")).await;
    let refused = app.send(request("x-request-timeout", "soon")).await;

    let heard: Vec<_> = script.heard.lock().unwrap().drain(..).map(|(context, _)| context).collect();
    let left = heard[0].deadline.unwrap().saturating_duration_since(Instant::now());
    assert!(left <= Duration::from_secs(5), "{left:?}");
    assert_eq!(heard[1].wishes, Wishes { cache: Some(false), ..Wishes::default() });
    assert_eq!(heard[2].wishes.budget, Some(Money::from_nanos(500_000_000)));
    assert!(!heard[3].wishes.explain, "the key of this test is no operator's");
    assert_eq!((refused.status, &refused.error()["param"]), (StatusCode::BAD_REQUEST, &json!("x-request-timeout")));
}

#[tokio::test]
async fn a_stream_says_at_its_end_who_answered_and_what_it_cost() {
    let served = Served {
        model: "m".into(),
        deployment: "d".into(),
        attempts: 2,
        cost: Some(Money::from_nanos(22_000)),
        ..Served::default()
    };
    let events = vec!["data: [DONE]\n\n"];
    let app = TestApp::with(Script { events, served: Some(served), ..Script::default() }).await;

    let answer = app.post("/v1/chat/completions", json!({"model": "m", "stream": true})).await;

    assert_eq!(answer.body, "data: [DONE]\n\n: tandem model=m deployment=d attempts=2 cost-usd=0.000022000\n\n");
}

#[tokio::test]
async fn an_operators_key_may_ask_how_the_route_was_chosen() {
    let script = Script::default();
    let app = TestApp::with(script.clone()).await;
    let tenant = app.store.ensure_tenant("acme").await.unwrap();
    let (_, operator) =
        app.store.create_key(&tenant.id, &store::NewKey::named("operator", domain::Scopes::ADMIN)).await.unwrap();

    let request = as_key(&operator, "POST", "/v1/chat/completions").header("content-type", "application/json");
    let request = request.header("x-tandem-explain", "1").body(Body::from(r#"{"model":"m"}"#)).unwrap();
    app.send(request).await;

    assert!(script.heard.lock().unwrap()[0].0.wishes.explain);
}
