//! The admin API: who may use it, what it changes and what it records.

use crate::app::{Answer, TestApp, as_key};
use axum::body::Body;
use domain::{ModelAccess, Scope, Scopes};
use http::StatusCode;
use serde_json::{Value, json};
use store::NewKey;

/// An admin of the tenant `ops`.
pub(crate) struct Admin<'a> {
    pub(crate) app: &'a TestApp,
    key: String,
    id: String,
}

impl<'a> Admin<'a> {
    pub(crate) async fn of(app: &'a TestApp) -> Self {
        Self::with(app, NewKey::named("admin", Scopes::ADMIN)).await
    }

    async fn with(app: &'a TestApp, new: NewKey) -> Self {
        let tenant = app.store.ensure_tenant("ops").await.unwrap();
        let (key, secret) = app.store.create_key(&tenant.id, &new).await.unwrap();
        Self { app, key: secret, id: key.id.to_string() }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        let request = as_key(&self.key, method, path).header("content-type", "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.app.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Value::Null).await
    }

    async fn create(&self, path: &str, body: Value) -> Value {
        let answer = self.send("POST", path, body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
        answer.json()
    }
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

#[tokio::test]
async fn only_the_scope_admin_opens_the_admin_api() {
    let app = TestApp::start().await;

    let refused = app.get("/admin/v1/tenants").await;
    let nobody = app.send(as_key("tdm_unknown", "GET", "/admin/v1/tenants").body(Body::empty()).unwrap()).await;
    let answered = Admin::of(&app).await.get("/admin/v1/tenants").await;

    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.error()["code"], "missing_scope");
    assert!(refused.error()["message"].as_str().unwrap().contains("`admin`"));
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    assert_eq!((answered.status, answered.header("cache-control")), (StatusCode::OK, "no-store"));
}

#[tokio::test]
async fn a_tenant_is_made_renamed_disabled_and_deleted() {
    let app = TestApp::start().await;
    let admin = Admin::of(&app).await;

    let made = admin.create("/admin/v1/tenants", json!({"name": "new", "note": "n"})).await;
    let path = format!("/admin/v1/tenants/{}", id(&made));
    let patched = admin.send("PATCH", &path, json!({"name": "newer", "disabled": true})).await.ok();
    let read = admin.get(&path).await.ok();
    let deleted = admin.send("DELETE", &path, Value::Null).await.ok();

    assert_eq!((&made["object"], &made["disabled"]), (&json!("tenant"), &json!(false)));
    assert_eq!(
        (&patched["name"], &patched["note"], &patched["disabled"]),
        (&json!("newer"), &json!("n"), &json!(true))
    );
    assert_eq!(read, patched);
    assert_eq!(deleted, json!({"id": made["id"], "object": "tenant", "deleted": true}));
    assert_eq!(admin.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_tenant_gets_another_part_of_the_batch_workers() {
    let app = TestApp::start().await;
    let admin = Admin::of(&app).await;
    let tenant = admin.create("/admin/v1/tenants", json!({"name": "search"})).await;
    let path = format!("/admin/v1/tenants/{}", tenant["id"].as_str().unwrap());
    assert_eq!((&tenant["batch_weight"], &tenant["batch_shards"]), (&json!(100), &Value::Null));

    let more = admin.send("PATCH", &path, json!({"batch_weight": 300, "batch_shards": 8})).await.ok();
    let uncapped = admin.send("PATCH", &path, json!({"batch_shards": null})).await.ok();

    assert_eq!((&more["batch_weight"], &more["batch_shards"]), (&json!(300), &json!(8)));
    assert_eq!((&uncapped["batch_weight"], &uncapped["batch_shards"]), (&json!(300), &Value::Null));
    for (body, param) in [
        (json!({"batch_weight": 0}), "batch_weight"),
        (json!({"batch_weight": 1_001}), "batch_weight"),
        (json!({"batch_shards": 0}), "batch_shards"),
    ] {
        let refused = admin.send("PATCH", &path, body.clone()).await;
        assert_eq!((refused.status, &refused.error()["param"]), (StatusCode::BAD_REQUEST, &json!(param)), "{body}");
    }
}

#[tokio::test]
async fn lists_go_on_after_the_last_id() {
    let app = TestApp::start().await;
    let admin = Admin::of(&app).await;

    let first = admin.get("/admin/v1/tenants?limit=2").await.ok();
    let rest = admin.get(&format!("/admin/v1/tenants?after={}", first["last_id"].as_str().unwrap())).await.ok();

    let names = |page: &Value| page["data"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect::<Vec<_>>();
    assert_eq!((names(&first), &first["has_more"]), (vec![json!("ops"), json!("stranger")], &json!(true)));
    assert_eq!((names(&rest), &rest["has_more"]), (vec![json!("acme")], &json!(false)));
    assert_eq!(first["first_id"], first["data"][0]["id"]);
}

#[tokio::test]
async fn a_new_key_works_until_it_is_revoked_and_its_secret_is_told_once() {
    let app = TestApp::start().await;
    let admin = Admin::of(&app).await;
    let body = json!({"name": "ci", "scopes": ["inference"], "models": ["m"], "environment": "test"});

    let made = admin.create("/admin/v1/keys", body).await;
    let secret = made["secret"].as_str().unwrap();
    let works = app.send(as_key(secret, "GET", "/v1/models").body(Body::empty()).unwrap()).await;
    let path = format!("/admin/v1/keys/{}", id(&made));
    let read = admin.get(&path).await.ok();
    admin.send("DELETE", &path, Value::Null).await.ok();

    assert!(secret.starts_with("tdm_test_") && works.status == StatusCode::OK);
    assert_eq!((&read["scopes"], &read["models"]), (&json!(["inference"]), &json!(["m"])));
    assert!(read.get("secret").is_none());
    assert!(admin.get(&path).await.ok()["revoked_at"].is_i64());
    let all = admin.get("/admin/v1/keys?limit=100").await.ok().to_string()
        + &admin.get("/admin/v1/audit").await.ok().to_string();
    assert!(!all.contains(secret) && all.contains("key.revoke"));
    let random = secret.rsplit('_').next().unwrap();
    assert!(
        !admin.get("/admin/v1/audit").await.ok().to_string().contains(&random[..4]),
        "not even the hint is recorded"
    );
}

#[tokio::test]
async fn deployments_are_told_by_page_by_model_and_only_of_models_that_the_caller_may_ask() {
    let app = TestApp::start().await;
    let admin = Admin::of(&app).await;
    let models = ModelAccess::Only(["org/m".to_owned()].into());
    let narrow = Admin::with(&app, NewKey { models, ..NewKey::named("narrow", Scopes::ADMIN) }).await;

    let first = admin.get("/admin/v1/deployments?limit=2").await.ok();
    let rest = admin.get(&format!("/admin/v1/deployments?after={}", first["last_id"].as_str().unwrap())).await.ok();
    let of_model = admin.get("/admin/v1/deployments?model=org").await.ok();
    let seen = narrow.get("/admin/v1/deployments").await.ok();

    let ids = |page: &Value| page["data"].as_array().unwrap().iter().map(id).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((ids(&first), &first["has_more"]), (vec!["m/vllm-a".to_owned(), "m/vllm-b".to_owned()], &json!(true)));
    assert_eq!((ids(&rest), &rest["has_more"]), (vec!["org/m%2Fc".to_owned(), "org/m/c".to_owned()], &json!(false)));
    assert_eq!((ids(&of_model), ids(&seen)), (vec!["org/m%2Fc".to_owned()], vec!["org/m/c".to_owned()]));
    let endpoint = &first["data"][0]["endpoints"][0];
    assert_eq!((&endpoint["address"], &endpoint["breaker"]), (&json!("h:8000"), &json!("closed")));
    assert_eq!(admin.get("/admin/v1/deployments?limit=0").await.error()["param"], "limit");
}

#[tokio::test]
async fn no_key_makes_a_wider_one() {
    let app = TestApp::start().await;
    let narrow = NewKey {
        models: ModelAccess::Only(["m".to_owned()].into()),
        ..NewKey::named("narrow", Scopes::default().with(Scope::Admin).with(Scope::Inference))
    };
    let admin = Admin::with(&app, narrow).await;

    for (scopes, models, param) in [
        (json!(["usage"]), json!(["m"]), "scopes"),
        (Value::Null, json!(["m"]), "scopes"),
        (json!(["inference"]), json!(["m", "org/m"]), "models"),
        (json!(["inference"]), Value::Null, "models"),
    ] {
        let body = json!({"name": "k", "scopes": scopes, "models": models});
        let refused = admin.send("POST", "/admin/v1/keys", body).await;
        assert_eq!((refused.status, &refused.error()["param"]), (StatusCode::FORBIDDEN, &json!(param)));
    }
    admin.create("/admin/v1/keys", json!({"name": "k", "scopes": ["inference"], "models": ["m"]})).await;
    let models = admin.get("/admin/v1/models").await.ok();
    assert_eq!((models["data"].as_array().unwrap().len(), &models["data"][0]["id"]), (1, &json!("m")));
}

#[tokio::test]
async fn budgets_are_dollars_to_the_last_nano() {
    let app = TestApp::start().await;
    let admin = Admin::of(&app).await;
    let tenant = app.store.ensure_tenant("acme").await.unwrap().id;

    let made =
        admin.create("/admin/v1/limits", json!({"tenant_id": tenant, "kind": "usd_per_day", "amount": 0.1})).await;
    let path = format!("/admin/v1/limits/{}", id(&made));
    let patched = admin.send("PATCH", &path, json!({"amount": "900719925.474099301"})).await.ok();
    let rate = json!({"tenant_id": tenant, "kind": "requests_per_minute", "model": "m", "amount": 60});
    let rate = admin.create("/admin/v1/limits", rate).await;

    assert_eq!((&made["amount"], &made["subject"]), (&json!("0.100000000"), &json!(tenant)));
    assert_eq!(patched["amount"], "900719925.474099301");
    assert_eq!((&rate["amount"], &rate["model"]), (&json!(60), &json!("m")));
    let listed = admin.get(&format!("/admin/v1/limits?tenant_id={tenant}")).await.ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    admin.send("DELETE", &path, Value::Null).await.ok();
    assert_eq!(admin.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_change_names_who_made_it_in_which_request() {
    let app = TestApp::start().await;
    let admin = Admin::of(&app).await;
    let tenant = app.store.ensure_tenant("acme").await.unwrap().id;
    let body = json!({"tenant_id": tenant, "kind": "concurrent_requests", "amount": 3});

    let answer = admin.send("POST", "/admin/v1/limits", body).await;
    let limit = answer.json();
    let path = format!("/admin/v1/limits/{}", id(&limit));
    admin.send("PATCH", &path, json!({"amount": 4})).await.ok();

    let changes = admin.get(&format!("/admin/v1/audit?target={}", id(&limit))).await.ok();
    let (patch, create) = (&changes["data"][0], &changes["data"][1]);
    assert_eq!((&create["actor"], &create["action"]), (&json!(admin.id), &json!("limit.create")));
    assert_eq!(
        (create["request_id"].as_str().unwrap(), &create["before"]),
        (answer.header("x-request-id"), &Value::Null)
    );
    assert_eq!((&patch["before"]["amount"], &patch["after"]["amount"]), (&json!(3), &json!(4)));
    assert_eq!(patch["tenant_id"], json!(tenant));
}

#[tokio::test]
async fn operators_see_whose_each_batch_is() {
    let app = TestApp::start().await;
    let admin = Admin::of(&app).await;
    let file = app.upload(&crate::app::line("a")).await;
    let body = json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let batch = app.post("/v1/batches", body).await.ok();

    let listed = admin.get("/admin/v1/batches?status=validating").await.ok();

    assert_eq!(listed["data"][0]["id"], batch["id"]);
    assert_eq!(listed["data"][0]["tenant_id"], json!(app.store.ensure_tenant("acme").await.unwrap().id));
    assert!(admin.get("/admin/v1/batches?status=failed").await.ok()["data"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn nobody_disables_their_own_tenant() {
    let app = TestApp::start().await;
    let admin = Admin::of(&app).await;
    let own = format!("/admin/v1/tenants/{}", app.store.ensure_tenant("ops").await.unwrap().id);

    for (method, body) in [("PATCH", json!({"disabled": true})), ("DELETE", Value::Null)] {
        let refused = admin.send(method, &own, body).await;
        assert_eq!((refused.status, &refused.error()["code"]), (StatusCode::CONFLICT, &json!("own_tenant")));
    }
}

#[tokio::test]
async fn bad_bodies_and_queries_say_what_is_wrong() {
    let app = TestApp::start().await;
    let admin = Admin::of(&app).await;
    let tenant = app.store.ensure_tenant("acme").await.unwrap().id;
    let limit = |extra: Value| {
        let mut body = json!({"tenant_id": tenant, "kind": "usd_total", "amount": 1});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let acme = format!("/admin/v1/tenants/{tenant}");
    let cases = [
        ("POST", "/admin/v1/tenants", json!({"name": ""}), 400, json!("name")),
        ("POST", "/admin/v1/tenants", json!({"name": "x".repeat(257)}), 400, json!("name")),
        ("POST", "/admin/v1/tenants", json!({"name": "x", "nope": 1}), 400, json!("nope")),
        ("POST", "/admin/v1/tenants", json!({"name": "acme"}), 409, Value::Null),
        ("PATCH", &acme, json!({}), 400, json!("name")),
        ("DELETE", &acme, Value::Null, 409, Value::Null),
        ("PATCH", "/admin/v1/tenants/tenant_x", json!({"note": ""}), 404, Value::Null),
        ("POST", "/admin/v1/keys", json!({"name": "k", "scopes": ["root"]}), 400, json!("scopes")),
        ("POST", "/admin/v1/keys", json!({"name": "k", "expires_at": 1}), 400, json!("expires_at")),
        ("POST", "/admin/v1/keys", json!({"name": "k", "environment": "a_b"}), 400, json!("environment")),
        ("POST", "/admin/v1/keys", json!({"name": "k", "tenant_id": "tenant_x"}), 404, json!("tenant_id")),
        ("POST", "/admin/v1/limits", limit(json!({"amount": 0})), 400, json!("amount")),
        ("POST", "/admin/v1/limits", limit(json!({"amount": -1})), 400, json!("amount")),
        ("POST", "/admin/v1/limits", limit(json!({"amount": "1e99"})), 400, json!("amount")),
        ("POST", "/admin/v1/limits", limit(json!({"kind": "usd"})), 400, json!("kind")),
        ("POST", "/admin/v1/limits", limit(json!({"subject_kind": "key"})), 400, json!("subject")),
        ("POST", "/admin/v1/limits", limit(json!({"subject_kind": "key", "subject": "k"})), 404, json!("subject")),
        ("GET", "/admin/v1/limits?limit=101", Value::Null, 400, json!("limit")),
        ("GET", "/admin/v1/limits?tenant=x", Value::Null, 400, Value::Null),
        ("GET", "/admin/v1/batches?status=done", Value::Null, 400, json!("status")),
        ("GET", "/admin/v1/usage?group_by=hour", Value::Null, 400, json!("group_by")),
    ];
    for (method, path, body, status, param) in cases {
        let answer = admin.send(method, path, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {body}: {}", answer.json());
        assert_eq!(answer.error()["param"], param, "{method} {path} {body}");
    }
    assert!(admin.get("/admin/v1/audit").await.ok()["data"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_rotated_key_works_with_both_secrets_and_no_record_holds_either() {
    let app = TestApp::start().await;
    let admin = Admin::of(&app).await;
    let made = admin.create("/admin/v1/keys", json!({"name": "k"})).await;
    let path = format!("/admin/v1/keys/{}/rotate", id(&made));

    let rotated = admin.send("POST", &path, json!({"overlap_secs": 60})).await.ok();

    for secret in [&made["secret"], &rotated["secret"]] {
        let models = as_key(secret.as_str().unwrap(), "GET", "/v1/models").body(Body::empty()).unwrap();
        assert_eq!(app.send(models).await.status, StatusCode::OK);
    }
    let audit = admin.get("/admin/v1/audit?limit=100").await.ok().to_string();
    assert!(audit.contains("key.rotate"), "{audit}");
    assert!(!audit.contains(made["secret"].as_str().unwrap()) && !audit.contains(rotated["secret"].as_str().unwrap()));
}

#[tokio::test]
async fn a_narrow_admin_gets_no_wide_secret_and_widens_no_key() {
    let app = TestApp::start().await;
    let wide = Admin::of(&app).await.create("/admin/v1/keys", json!({"name": "wide"})).await;
    let scopes = Scopes::default().with(Scope::Admin).with(Scope::Usage);
    let narrow = Admin::with(&app, NewKey::named("narrow", scopes)).await;
    let own = narrow.create("/admin/v1/keys", json!({"name": "own", "scopes": ["usage"]})).await;

    let rotate = narrow.send("POST", &format!("/admin/v1/keys/{}/rotate", id(&wide)), json!({})).await;
    let widen = json!({"scopes": ["usage", "inference"]});
    let widen = narrow.send("PATCH", &format!("/admin/v1/keys/{}", id(&own)), widen).await;
    let rename = narrow.send("PATCH", &format!("/admin/v1/keys/{}", id(&own)), json!({"name": "renamed"})).await;

    for refused in [rotate, widen] {
        assert_eq!((refused.status, &refused.error()["code"]), (StatusCode::FORBIDDEN, &json!("wider_than_caller")));
    }
    assert_eq!(rename.ok()["name"], "renamed");
}
