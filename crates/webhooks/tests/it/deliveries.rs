//! What arrives, how often, and what is known of it afterwards.

use crate::{
    receiver::{Receiver, status},
    site::{Site, eventually, settings},
};
use bytes::Bytes;
use domain::{AttemptOutcome, BatchId, DeliveryStatus, DisabledReason, Endpoint, FileId, Terms, WorkerId};
use http::Response;
use http_body_util::Full;
use store::NewBatch;
use webhooks::WebhooksSettings;

#[tokio::test]
async fn what_happens_to_a_batch_arrives_signed() {
    let (site, receiver) = (Site::new(settings()).await, Receiver::friendly().await);
    let (webhook, secret) = site.webhook(&receiver.url()).await;
    let _running = site.run();

    let batch = fail_a_batch(&site, &webhook.tenant).await;

    eventually(async || !receiver.got().is_empty()).await;
    let got = &receiver.got()[0];
    let event = &site.store.batch_events(&batch).await.unwrap()[0];
    assert!(got.verifies(&secret));
    assert_eq!((got.header("webhook-id"), got.path.as_str()), (event.id.as_str(), "/hook"));
    assert_eq!(got.header("content-type"), "application/json");
    assert!(got.header("user-agent").starts_with("Tandem-Webhooks/"));
    let body = String::from_utf8(got.body.to_vec()).unwrap();
    assert!(body.contains(r#""type":"batch.failed""#) && body.contains(batch.as_str()), "{body}");
}

#[tokio::test]
async fn every_attempt_has_the_same_id_and_body() {
    let site = Site::new(settings()).await;
    let receiver = Receiver::start(|n| Some(status(if n < 2 { 500 } else { 204 }))).await;
    let (webhook, secret) = site.webhook(&receiver.url()).await;
    let _running = site.run();

    let delivery = site.tried(&webhook, 9).await;

    let outcomes: Vec<_> = delivery.attempts.iter().map(|attempt| attempt.http_status).collect();
    assert_eq!((delivery.status, outcomes), (DeliveryStatus::Delivered, vec![Some(500), Some(500), Some(204)]));
    let got = receiver.got();
    assert!(got.iter().all(|got| got.header("webhook-id") == delivery.event.as_str() && got.verifies(&secret)));
    assert!(got.iter().all(|other| other.body == got[0].body));
}

#[tokio::test]
async fn after_the_last_try_it_is_given_up() {
    let (site, receiver) = (Site::new(settings()).await, Receiver::start(|_| Some(status(503))).await);
    let (webhook, _) = site.webhook(&receiver.url()).await;
    let _running = site.run();

    let delivery = site.tried(&webhook, 9).await;

    assert_eq!((delivery.status, delivery.attempts.len()), (DeliveryStatus::Failed, 4));
    let now = site.now(&webhook).await;
    assert!(now.is_enabled && now.failing_since_ms.is_some());
}

#[tokio::test]
async fn a_webhook_that_is_gone_gets_nothing_more() {
    let (site, receiver) = (Site::new(settings()).await, Receiver::start(|_| Some(status(410))).await);
    let (webhook, _) = site.webhook(&receiver.url()).await;
    let _running = site.run();

    let delivery = site.tried(&webhook, 9).await;

    assert_eq!((delivery.status, delivery.attempts.len()), (DeliveryStatus::Failed, 1));
    assert_eq!(site.now(&webhook).await.disabled_reason, Some(DisabledReason::Gone));
}

#[tokio::test]
async fn a_slow_webhook_keeps_no_other_waiting() {
    let settings = WebhooksSettings { concurrency: 3, per_webhook: 2, ..settings() };
    let (site, slow, fast) = (Site::new(settings).await, Receiver::start(|_| None).await, Receiver::friendly().await);
    let (slow_hook, _) = site.webhook(&slow.url()).await;
    let (fast_hook, _) = site.webhook(&fast.url()).await;
    for _ in 0..5 {
        site.store.test_webhook(&slow_hook).await.unwrap();
    }
    let _running = site.run();
    eventually(async || slow.got().len() == 2).await;

    for _ in 0..5 {
        site.store.test_webhook(&fast_hook).await.unwrap();
    }

    eventually(async || fast.got().len() == 5).await;
    assert_eq!(slow.got().len(), 2);
}

#[tokio::test]
async fn silence_is_told_from_refusal() {
    let settings = WebhooksSettings { timeout_ms: 100, retries_secs: vec![], ..settings() };
    let (site, silent) = (Site::new(settings).await, Receiver::start(|_| None).await);
    let (silent_hook, _) = site.webhook(&silent.url()).await;
    let (closed_hook, _) = site.webhook("http://127.0.0.1:1024/nobody").await;
    let _running = site.run();

    let (silent, closed) = (site.tried(&silent_hook, 1).await, site.tried(&closed_hook, 1).await);

    assert_eq!(silent.attempts[0].outcome, AttemptOutcome::TimedOut);
    assert_eq!(closed.attempts[0].outcome, AttemptOutcome::Unreachable);
    assert!(closed.attempts[0].detail.contains("refused"), "{}", closed.attempts[0].detail);
}

#[tokio::test]
async fn a_receiver_may_ask_for_time() {
    let answer = || Response::builder().status(429).header("retry-after", "3600").body(Full::default()).unwrap();
    let (site, receiver) = (Site::new(settings()).await, Receiver::start(move |_| Some(answer())).await);
    let (webhook, _) = site.webhook(&receiver.url()).await;
    let _running = site.run();

    let delivery = site.tried(&webhook, 1).await;

    let wait_ms = delivery.next_at_ms.unwrap() - delivery.attempts[0].at_ms;
    assert!((3_590_000..3_700_000).contains(&wait_ms), "{wait_ms}");
}

#[tokio::test]
async fn the_log_keeps_the_beginning_of_an_answer() {
    let long = || Response::builder().status(200).body(Full::new(Bytes::from("x".repeat(1 << 20)))).unwrap();
    let (site, receiver) = (Site::new(settings()).await, Receiver::start(move |_| Some(long())).await);
    let (webhook, _) = site.webhook(&receiver.url()).await;
    let _running = site.run();

    let delivery = site.tried(&webhook, 1).await;

    assert_eq!((delivery.status, delivery.attempts[0].detail.len()), (DeliveryStatus::Delivered, 1_024));
}

#[tokio::test]
async fn the_end_of_a_process_waits_for_what_is_under_way() {
    let settings = WebhooksSettings { timeout_ms: 300, ..settings() };
    let (site, receiver) = (Site::new(settings).await, Receiver::start(|_| None).await);
    let (webhook, _) = site.webhook(&receiver.url()).await;
    let running = site.run();
    site.store.test_webhook(&webhook).await.unwrap();
    eventually(async || receiver.got().len() == 1).await;

    running.end().await;

    let delivery = &site.deliveries(&webhook).await[0];
    assert_eq!(delivery.attempts[0].outcome, AttemptOutcome::TimedOut);
}

async fn fail_a_batch(site: &Site, tenant: &domain::TenantId) -> BatchId {
    let new = NewBatch {
        id: BatchId::generate(),
        tenant: tenant.clone(),
        endpoint: Endpoint::ChatCompletions,
        input_file_id: FileId::generate(),
        window_secs: 86_400,
        metadata: None,
        output_expires_secs: None,
        traceparent: None,
        terms: Terms::default(),
        tokens: vec![],
        dedup: false,
        redrive_of: None,
    };
    let batch = site.store.insert_batch(new).await.unwrap().id;
    let lease = site.store.claim_batch(&batch, &WorkerId::generate(), 30_000).await.unwrap().unwrap();
    assert!(site.store.fail_validation(&lease, "[]").await.unwrap());
    batch
}
