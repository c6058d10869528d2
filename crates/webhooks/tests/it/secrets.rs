//! What is signed with which secret.

use crate::{
    receiver::Receiver,
    site::{Site, author, eventually, settings},
};
use chassis::settings::Secret;
use domain::DeliveryStatus;
use secrecy::SecretString;
use store::WebhookRow;
use webhooks::{Registrar, WebhooksSettings};

async fn rotate(site: &Site, webhook: &WebhookRow, grace_ms: i64) -> SecretString {
    let (shown, sealed) = Registrar::new(&site.settings).unwrap().new_secret(&webhook.id).unwrap();
    let key = (&webhook.tenant, &webhook.id);
    site.store.rotate_webhook_secret(&author(), key, &sealed, grace_ms).await.unwrap().unwrap();
    shown
}

#[tokio::test]
async fn during_a_rotation_both_secrets_sign() {
    let (site, receiver) = (Site::new(settings()).await, Receiver::friendly().await);
    let (webhook, first) = site.webhook(&receiver.url()).await;
    let _running = site.run();

    let second = rotate(&site, &webhook, 60_000).await;
    site.tried(&webhook, 1).await;
    let third = rotate(&site, &webhook, 0).await;
    site.tried(&webhook, 1).await;

    let got = receiver.got();
    let verified = |n: usize| [&first, &second, &third].map(|secret| got[n].verifies(secret));
    assert_eq!(verified(0), [true, true, false]);
    assert_eq!(verified(1), [false, false, true]);
}

#[tokio::test]
async fn a_secret_that_no_key_opens_sends_nothing_and_costs_no_attempt() {
    let (mut site, receiver) = (Site::new(settings()).await, Receiver::friendly().await);
    let (webhook, _) = site.webhook(&receiver.url()).await;
    let right = site.settings.clone();
    site.settings = WebhooksSettings { secret_key: Secret::from("00".repeat(32)), timeout_ms: 1, ..right.clone() };
    let running = site.run();
    let sent = site.store.test_webhook(&webhook).await.unwrap();
    eventually(async || site.store.due_webhooks(9, 9).await.unwrap().is_empty()).await;
    running.end().await;
    assert!(receiver.got().is_empty());

    site.settings = right;
    let _running = site.run();

    let delivery = site.until(&webhook, &sent, |delivery| delivery.status == DeliveryStatus::Delivered).await;
    assert_eq!(delivery.attempts.len(), 1);
}
