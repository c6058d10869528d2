//! Reports of usage: whose they are, and how they are told.

use crate::{
    admin::Admin,
    app::{TestApp, as_key},
};
use axum::body::Body;
use domain::{Class, KeyId, Money, RequestId, RequestOutcome, Scope, Scopes, TenantId, Usage, UsageId, UsageRecord};
use http::StatusCode;
use serde_json::json;
use store::NewKey;

const JANUARY: &str = "from=2026-01-01&to=2026-02-01";
const AT_MS: i64 = 1_767_225_600_000;

async fn write(app: &TestApp, tenant: &str, model: &str, cost: Option<i64>) {
    let tenant: TenantId = app.store.ensure_tenant(tenant).await.unwrap().id;
    let record = UsageRecord {
        id: UsageId::generate(),
        at_ms: AT_MS,
        tenant,
        key: Some(KeyId::from_string("key_a")),
        principal: None,
        batch: None,
        request: RequestId::generate(),
        trace_id: None,
        class: Class::Interactive,
        dialect: "chat",
        model: model.into(),
        deployment: None,
        status: 200,
        outcome: RequestOutcome::Complete,
        usage: Usage { input: 7, output: 3, ..Usage::default() },
        is_estimated: false,
        is_cached: false,
        cost: cost.map(Money::from_nanos),
        latency_ms: 1,
        ttft_ms: None,
    };
    app.store.insert_usage(&[record]).await.unwrap();
}

#[tokio::test]
async fn a_tenant_sees_its_own_usage_only() {
    let app = TestApp::start().await;
    write(&app, "acme", "m", Some(5)).await;
    write(&app, "acme", "m", None).await;
    write(&app, "stranger", "m", Some(100)).await;

    let report = app.get(&format!("/v1/usage?{JANUARY}&group_by=model&group_by=day")).await.ok();

    assert_eq!((&report["object"], &report["group_by"]), (&json!("usage_report"), &json!(["model", "day"])));
    let row = &report["data"][0];
    assert_eq!(report["data"].as_array().unwrap().len(), 1);
    assert_eq!((&row["day"], &row["model"]), (&json!("2026-01-01"), &json!("m")));
    assert_eq!((&row["requests"], &row["input_tokens"]), (&json!(2), &json!(14)));
    assert_eq!((&row["cost_usd"], &row["unpriced_requests"]), (&json!("0.000000005"), &json!(1)));
    let refused = app.get("/v1/usage?tenant_id=tenant_x").await;
    assert_eq!(refused.error()["param"], "tenant_id");
}

#[tokio::test]
async fn an_operator_sees_everybodys() {
    let app = TestApp::start().await;
    write(&app, "acme", "m", Some(5)).await;
    write(&app, "stranger", "m", Some(100)).await;
    let admin = Admin::of(&app).await;

    let all = admin.get(&format!("/admin/v1/usage?{JANUARY}")).await.ok();
    let acme = app.store.ensure_tenant("acme").await.unwrap().id;
    let one = admin.get(&format!("/admin/v1/usage?{JANUARY}&tenant_id={acme}&group_by=tenant")).await.ok();

    assert_eq!(all["data"][0]["cost_usd"], "0.000000105");
    assert_eq!((&one["data"][0]["tenant_id"], &one["data"][0]["requests"]), (&json!(acme), &json!(1)));
}

#[tokio::test]
async fn a_table_is_safe_in_a_spreadsheet() {
    let app = TestApp::start().await;
    write(&app, "acme", "=HYPERLINK(\"http://x\")", Some(5)).await;
    let query = format!("/v1/usage?{JANUARY}&group_by=model");

    let asked = app.get(&format!("{query}&format=csv")).await;
    let accepted = app.send(app.request("GET", &query).header("accept", "text/csv").body(Body::empty()).unwrap()).await;

    assert_eq!(asked.header("content-type"), "text/csv; charset=utf-8");
    assert!(asked.header("content-disposition").starts_with("attachment"));
    assert_eq!(asked.body, accepted.body);
    let text = String::from_utf8(asked.body.to_vec()).unwrap();
    assert!(
        text.lines().nth(1).unwrap().starts_with("\"'=HYPERLINK(\"\"http://x\"\")\",1,0,0,0,7,3,0,0,0,0.000000005"),
        "{text}"
    );
}

#[tokio::test]
async fn usage_needs_its_scope() {
    let app = TestApp::start().await;
    let tenant = app.store.ensure_tenant("acme").await.unwrap().id;
    let narrow = NewKey::named("n", Scopes::default().with(Scope::Inference));
    let (_, secret) = app.store.create_key(&tenant, &narrow).await.unwrap();

    let refused = app.send(as_key(&secret, "GET", "/v1/usage").body(Body::empty()).unwrap()).await;

    assert_eq!((refused.status, &refused.error()["code"]), (StatusCode::FORBIDDEN, &json!("missing_scope")));
}
