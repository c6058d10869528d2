//! Webhooks of real processes: through `kill -9`, and from a worker of its own.

use e2e::{Database, Hook, Hooks, Process, Site, chat_lines, eventually};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Webhooks may go to this machine, and are looked for often. A claim of a dead process ends after 15 seconds.
async fn site(database: Database) -> Site {
    Site::new(database, 0.0).await.with_environment(&[
        ("TANDEM__WEBHOOKS__ALLOW", "127.0.0.0/8"),
        ("TANDEM__WEBHOOKS__ALLOW_HTTP", "true"),
        ("TANDEM__WEBHOOKS__SECRET_KEY", "4f7b1c9e4f7b1c9e4f7b1c9e4f7b1c9e4f7b1c9e4f7b1c9e4f7b1c9e4f7b1c9e"),
        ("TANDEM__WEBHOOKS__POLL_MS", "50"),
        ("TANDEM__WEBHOOKS__TIMEOUT_MS", "5000"),
    ])
}

async fn register(site: &Site, process: &Process, hooks: &Hooks, events: &[&str]) -> Value {
    let (status, made) = site.ask(process, "/v1/webhooks", &json!({"url": hooks.url(), "events": events})).await;
    assert_eq!(status, 201, "{made}");
    serde_json::from_str(&made).unwrap()
}

fn kind(hook: &Hook) -> String {
    let body: Value = serde_json::from_slice(&hook.body).unwrap();
    body["type"].as_str().unwrap().to_owned()
}

fn verifies(hook: &Hook, webhook: &Value) -> bool {
    Webhook::new(webhook["secret"].as_str().unwrap()).unwrap().verify(&hook.body, &hook.headers).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_after_the_post_sends_the_same_webhook_again_on_sqlite() {
    a_kill_after_the_post_sends_the_same_webhook_again(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_after_the_post_sends_the_same_webhook_again_on_postgres() {
    a_kill_after_the_post_sends_the_same_webhook_again(Database::Postgres).await;
}

async fn a_kill_after_the_post_sends_the_same_webhook_again(database: Database) {
    let (site, hooks) = (site(database).await, Hooks::start(false).await);
    let process = site.start().await;
    let webhook = register(&site, &process, &hooks, &["batch.completed"]).await;
    site.submit(&process, chat_lines(2, 2)).await;
    assert!(eventually(LIMIT, async || hooks.got().len() == 1).await, "{}", site.log());

    process.kill();
    hooks.answer();
    let process = site.start().await;

    assert!(eventually(LIMIT, async || hooks.got().len() == 2).await, "{}", site.log());
    let deliveries = format!("/v1/webhooks/{}/deliveries", webhook["id"].as_str().unwrap());
    let mut last = Value::Null;
    let delivered = eventually(LIMIT, async || {
        last = site.try_get(&process, &deliveries).await.unwrap_or_default();
        last["data"][0]["status"] == "delivered"
    });
    assert!(delivered.await, "{last}");
    let got = hooks.got();
    assert_eq!(got[0].headers["webhook-id"], got[1].headers["webhook-id"]);
    assert_eq!(got[0].headers["webhook-id"], *last["data"][0]["event_id"].as_str().unwrap());
    assert_eq!(got[0].body, got[1].body);
    assert!(got.iter().all(|hook| verifies(hook, &webhook)));
    assert_eq!((got.len(), last["data"].as_array().unwrap().len()), (2, 1));
    let shown = webhook["secret"].as_str().unwrap().trim_start_matches("whsec_").to_owned();
    assert!(!site.database_text().contains(&shown) && !site.log().contains(&shown), "a secret is at rest in the clear");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_its_own_tells_the_life_of_a_batch() {
    let (site, hooks) = (site(Database::Postgres).await, Hooks::start(true).await);
    let services = site.start_services().await;
    let events = ["batch.in_progress", "batch.progress", "batch.completed"];
    let webhook = register(&site, &services.gateway, &hooks, &events).await;

    site.submit(&services.gateway, chat_lines(8, 2)).await;

    let kinds = || hooks.got().iter().map(kind).collect::<Vec<_>>();
    let all = eventually(LIMIT, async || events.iter().all(|event| kinds().iter().any(|kind| kind == event))).await;
    assert!(all, "{:?}\n{}", kinds(), site.log());
    assert!(hooks.got().iter().all(|hook| verifies(hook, &webhook)));
    let metrics = site.metrics(&services.worker).await;
    assert!(
        metrics.contains("tandem_webhooks_attempts_total") && metrics.contains("outcome=\"delivered\""),
        "{metrics}"
    );
}
