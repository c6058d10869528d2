//! `/v1/webhooks`: made, read, changed and deleted by their tenant; a secret is seen once.

use crate::app::{Answer, TestApp, as_key};
use axum::body::Body;
use domain::{AttemptOutcome, WebhookId};
use http::StatusCode;
use serde_json::{Value, json};
use store::{AttemptSaid, Verdict};

fn wanted() -> Value {
    json!({"url": "https://hooks.example.com/tandem", "events": ["batch.completed"], "description": "for the team"})
}

async fn made(app: &TestApp) -> Value {
    let answer = app.post("/v1/webhooks", wanted()).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::CREATED, "no-store"));
    answer.json()
}

async fn patch(app: &TestApp, path: &str, body: &Value) -> Answer {
    let request = app.request("PATCH", path).header("content-type", "application/json");
    app.send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_webhook_shows_its_secret_once() {
    let app = TestApp::start().await;

    let webhook = made(&app).await;

    assert!(webhook["secret"].as_str().unwrap().starts_with("whsec_"), "{webhook}");
    let path = format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap());
    let read = app.get(&path).await.ok();
    assert_eq!(read.get("secret"), None);
    assert_eq!((&read["object"], &read["url"], &read["enabled"]), (&json!("webhook"), &wanted()["url"], &json!(true)));
    let listed = app.get("/v1/webhooks").await.ok();
    assert_eq!((&listed["data"], &listed["has_more"]), (&json!([read]), &json!(false)));
}

#[tokio::test]
async fn a_webhook_is_changed_and_deleted() {
    let app = TestApp::start().await;
    let path = format!("/v1/webhooks/{}", made(&app).await["id"].as_str().unwrap());

    let change = json!({"events": ["batch.failed", "batch.at_risk"], "enabled": false});
    let changed = patch(&app, &path, &change).await.ok();

    assert_eq!((&changed["events"], &changed["enabled"]), (&change["events"], &json!(false)));
    assert_eq!(changed["description"], "for the team");
    let test = app.post(&format!("{path}/test"), json!({})).await;
    assert_eq!((test.status, test.error()["code"].as_str()), (StatusCode::CONFLICT, Some("webhook_disabled")));
    assert_eq!(app.delete(&path).await.ok()["deleted"], true);
    assert_eq!(app.delete(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_a_webhook_may_not_be_is_said_of_the_parameter() {
    let app = TestApp::start().await;
    let path = format!("/v1/webhooks/{}", made(&app).await["id"].as_str().unwrap());

    for (bad, param) in [
        (json!({"url": "http://hooks.example.com"}), "url"),
        (json!({"url": "https://169.254.169.254/"}), "url"),
        (json!({"url": "https://user@hooks.example.com/"}), "url"),
        (json!({"events": []}), "events"),
        (json!({"events": ["batch.danced"]}), "events"),
        (json!({"description": "a\u{0}b"}), "description"),
    ] {
        let mut body = wanted();
        body.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
        for answer in [app.post("/v1/webhooks", body).await, patch(&app, &path, &bad).await] {
            assert_eq!((answer.status, &answer.error()["param"]), (StatusCode::BAD_REQUEST, &json!(param)), "{bad}");
        }
    }
}

#[tokio::test]
async fn a_rotation_gives_another_secret_and_a_grace() {
    let app = TestApp::start().await;
    let webhook = made(&app).await;
    let path = format!("/v1/webhooks/{}/rotate_secret", webhook["id"].as_str().unwrap());

    let rotated = app.post(&path, json!({"grace_secs": 60})).await.ok();

    assert!(rotated["secret"].as_str().unwrap().starts_with("whsec_") && rotated["secret"] != webhook["secret"]);
    let grace = rotated["old_secret_until"].as_i64().unwrap() - app.store.now_ms().await.unwrap() / 1_000;
    assert!((50..=60).contains(&grace), "{grace}");
    let too_long = app.post(&path, json!({"grace_secs": 604_801})).await;
    assert_eq!(too_long.error()["param"], "grace_secs");
}

#[tokio::test]
async fn deliveries_are_listed_with_their_attempts_and_replayed() {
    let app = TestApp::start().await;
    let webhook = made(&app).await;
    let (id, path) = (webhook["id"].as_str().unwrap(), format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap()));
    let sent = app.post(&format!("{path}/test"), json!({})).await.ok();
    let claimed = app.store.claim_deliveries(&WebhookId::from_string(id), (9, 9), 60_000).await.unwrap().remove(0);
    let outcome = AttemptOutcome::Refused;
    let said = AttemptSaid { outcome, http_status: Some(500), took_ms: 12, detail: "no".to_owned() };
    app.store.record_attempt(&claimed, &said, Verdict::GivenUp(60_000)).await.unwrap();

    let listed = app.get(&format!("{path}/deliveries?status=failed")).await.ok();
    let ended = &listed["data"][0];
    let again = app.post(&format!("{path}/deliveries/{}/replay", ended["id"].as_str().unwrap()), json!({})).await.ok();

    assert_eq!(
        (&ended["id"], &ended["type"], &ended["status"]),
        (&sent["id"], &json!("webhook.test"), &json!("failed"))
    );
    assert_eq!(ended["payload"]["data"]["id"], webhook["id"]);
    let attempt = &ended["attempts"][0];
    assert_eq!((&attempt["status_code"], &attempt["outcome"]), (&json!(500), &json!("refused")));
    assert_eq!((&again["event_id"], &again["replay_of"]), (&ended["event_id"], &ended["id"]));
    assert_eq!(again["status"], "pending");
    let pages = app.get(&format!("{path}/deliveries?limit=1")).await.ok();
    assert_eq!((&pages["data"][0]["id"], &pages["has_more"]), (&again["id"], &json!(true)));
    assert_eq!(app.get(&format!("{path}/deliveries?status=lost")).await.error()["param"], "status");
    let unknown = app.post(&format!("{path}/deliveries/dlv_x/replay"), json!({})).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn strangers_and_callers_without_the_scope_reach_no_webhook() {
    let app = TestApp::start().await;
    let path = format!("/v1/webhooks/{}", made(&app).await["id"].as_str().unwrap());
    let scopes = domain::Scopes::default().with(domain::Scope::Inference);
    let narrow = crate::app::key_like(&app.store, "acme", &store::NewKey::named("narrow", scopes)).await.1;

    for rest in ["", "/deliveries"] {
        let stranger = as_key(&app.stranger, "GET", &format!("{path}{rest}")).body(Body::empty()).unwrap();
        assert_eq!(app.send(stranger).await.status, StatusCode::NOT_FOUND);
        let narrow = as_key(&narrow, "GET", &format!("{path}{rest}")).body(Body::empty()).unwrap();
        assert_eq!(app.send(narrow).await.status, StatusCode::FORBIDDEN);
    }
}
