//! Requests under limits and budgets, and what the ledger keeps of them.

use crate::{app::TestApp, model::Script};
use domain::{Error, Limit, LimitId, LimitKind, Money, SubjectKind, Usage};
use http::StatusCode;
use orchestrator::{ListPrice, Served};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Author, LimitState, UsageQuery, UsageRow};

const USAGE: Usage = Usage { input: 5, output: 7, cached: 0, cache_write: 0, reasoning: 0 };

fn priced() -> Script {
    let served = Served { model: "m".into(), cost: Some(Money::from_nanos(12)), ..Served::default() };
    let price = ListPrice { input: Money::from_nanos(1_000_000), output: Money::from_nanos(1_000_000) };
    Script { price: Some(price), usage: Some(USAGE), served: Some(served), ..Script::default() }
}

fn chat(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "max_tokens": 3, "messages": []})
}

/// A gateway whose caller has one limit, and its background at work.
async fn limited(script: Script, kind: LimitKind, amount: i64) -> (TestApp, Limit) {
    let app = TestApp::with(script).await;
    let tenant = app.store.ensure_tenant("acme").await.unwrap().id;
    let (id, subject, subject_kind) = (LimitId::generate(), tenant.to_string(), SubjectKind::Tenant);
    let limit = Limit { id, tenant, subject_kind, subject, model: None, kind, amount };
    app.store.create_limit(&Author { actor: "test".into(), request_id: None }, &limit).await.unwrap();
    tokio::spawn(Arc::clone(&app.gateway).run_background(app.drain.clone()));
    (app, limit)
}

async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        match look().await {
            Some(found) => return found,
            None => tokio::task::yield_now().await,
        }
    }
}

async fn ledger(app: &TestApp, requests: i64) -> UsageRow {
    let query = UsageQuery { to_ms: i64::MAX, ..UsageQuery::default() };
    until(async || app.store.usage(&query).await.unwrap().pop().filter(|row| row.requests == requests)).await
}

#[tokio::test]
async fn the_headers_say_how_much_is_left_and_then_when_to_come_back() {
    let (app, _) = limited(priced(), LimitKind::RequestsPerMinute, 2).await;

    let first = app.post("/v1/chat/completions", chat(false)).await;
    let second = app.post("/v1/chat/completions", chat(false)).await;
    let third = app.post("/v1/chat/completions", chat(false)).await;

    assert_eq!([first.status, second.status, third.status], [200, 200, 429]);
    let left = [&first, &second, &third].map(|answer| answer.header("x-ratelimit-remaining-requests").to_owned());
    assert_eq!(left, ["1", "0", "0"]);
    assert_eq!(third.header("x-ratelimit-limit-requests"), "2");
    assert_eq!(third.error()["code"], "rate_limit_exceeded");
    let wait: u64 = third.header("retry-after").parse().unwrap();
    assert!((50..=61).contains(&wait), "{wait} s");
}

#[tokio::test]
async fn a_spent_budget_is_insufficient_quota() {
    let (app, limit) = limited(priced(), LimitKind::UsdTotal, 125).await;

    let first = app.post("/v1/chat/completions", chat(false)).await;
    let row = ledger(&app, 1).await;
    let state = until(async || {
        let state = app.store.limit_state(&limit).await.unwrap();
        (state.leased == 0).then_some(state)
    });

    assert_eq!(first.status, StatusCode::OK);
    assert_eq!((row.usage, row.cost), (USAGE, Money::from_nanos(12)));
    assert_eq!(state.await, LimitState { used: 12, lost: 0, leased: 0 });
    // 122 nano-USD is what the request may cost, 113 are left.
    let refused = app.post("/v1/chat/completions", chat(false)).await;
    assert_eq!(
        (refused.status, &refused.error()["type"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("insufficient_quota"))
    );
}

#[tokio::test]
async fn a_failed_call_costs_nothing() {
    let script = Script { fails: Some(|| Error::unavailable("gone")), ..priced() };
    let (app, limit) = limited(script, LimitKind::UsdTotal, 1_000).await;

    let failed = app.post("/v1/chat/completions", chat(true)).await;

    let row = ledger(&app, 1).await;
    assert_eq!((failed.status, row.failed_requests, row.cost), (StatusCode::SERVICE_UNAVAILABLE, 1, Money::ZERO));
    assert_eq!(app.store.limit_state(&limit).await.unwrap().used, 0);
}

#[tokio::test]
async fn a_budget_refuses_a_model_without_a_price() {
    let (app, _) = limited(Script { usage: Some(USAGE), ..Script::default() }, LimitKind::UsdPerDay, 1_000).await;

    let refused = app.post("/v1/chat/completions", chat(false)).await;

    assert_eq!((refused.status, &refused.error()["code"]), (StatusCode::FORBIDDEN, &json!("model_not_priced")));
}

#[tokio::test]
async fn a_caller_who_leaves_gives_the_slot_back() {
    let script = Script { events: vec!["data: {}\n\n"], hangs: true, ..priced() };
    let (app, _) = limited(script, LimitKind::ConcurrentRequests, 1).await;
    let request = || {
        let request = app.request("POST", "/v1/chat/completions").header("content-type", "application/json");
        request.body(chat(true).to_string().into()).unwrap()
    };

    let open = app.open(request()).await;
    let refused = app.open(request()).await;
    drop(open);
    let admitted = app.open(request()).await;

    assert_eq!([refused.status(), admitted.status()], [StatusCode::TOO_MANY_REQUESTS, StatusCode::OK]);
    drop(admitted);
    assert_eq!(ledger(&app, 2).await.estimated_requests, 2, "what was delivered is a guess");
}

#[tokio::test]
async fn a_replayed_answer_is_not_charged_again() {
    let (app, limit) = limited(priced(), LimitKind::RequestsPerMinute, 10).await;
    let request = || {
        let request = app.request("POST", "/v1/chat/completions").header("content-type", "application/json");
        request.header("idempotency-key", "once").body(chat(false).to_string().into()).unwrap()
    };

    let first = app.send(request()).await;
    let second = app.send(request()).await;

    assert_eq!((first.status, &first.body), (StatusCode::OK, &second.body));
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(ledger(&app, 1).await.cost, Money::from_nanos(12));
    let settled = until(async || {
        let state = app.store.limit_state(&limit).await.unwrap();
        (state.leased == 0 && state.used > 0).then_some(state.used)
    });
    assert_eq!(settled.await, 1);
}
