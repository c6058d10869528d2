//! A store with a tenant, and a sender that runs beside the test.

use chassis::{drain::Drain, settings::Secret};
use domain::{BatchEventKind, DeliveryStatus, WebhookId};
use reqwest::dns::Resolve;
use secrecy::SecretString;
use std::{sync::Arc, time::Duration};
use store::{Author, DeliveryRow, NewWebhook, Store, WebhookRow};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use webhooks::{Allowed, Registrar, Webhooks, WebhooksSettings};

/// Only ends a hung test.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Site {
    _folder: TempDir,
    pub(crate) store: Store,
    pub(crate) settings: WebhooksSettings,
}

/// A sender that runs until it is dropped, or told to end.
pub(crate) struct Running {
    drain: Drain,
    task: JoinHandle<()>,
}

/// Receivers of tests are on this machine, and nothing waits.
pub(crate) fn settings() -> WebhooksSettings {
    WebhooksSettings {
        allow: allow(&["127.0.0.0/8"]),
        allow_http: true,
        secret_key: Secret::from("5e".repeat(32)),
        poll_ms: 10,
        retries_secs: vec![0, 0, 0],
        ..WebhooksSettings::default()
    }
}

pub(crate) fn allow(places: &[&str]) -> Vec<Allowed> {
    places.iter().map(|place| Allowed::try_from((*place).to_owned()).unwrap()).collect()
}

pub(crate) fn author() -> Author {
    Author { actor: "key_test".to_owned(), request_id: None }
}

impl Site {
    pub(crate) async fn new(settings: WebhooksSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", folder.path().join("t.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        Self { _folder: folder, store, settings }
    }

    /// A webhook of this URL and its secret. The URL is not judged.
    pub(crate) async fn webhook(&self, url: &str) -> (WebhookRow, SecretString) {
        let id = WebhookId::generate();
        let (shown, secret) = Registrar::new(&self.settings).unwrap().new_secret(&id).unwrap();
        let new = NewWebhook {
            id,
            tenant: self.store.ensure_tenant("acme").await.unwrap().id,
            url: url.to_owned(),
            description: String::new(),
            events: BatchEventKind::ALL.to_vec(),
            is_enabled: true,
            secret,
        };
        (self.store.create_webhook(&author(), &new, 100).await.unwrap(), shown)
    }

    pub(crate) fn run(&self) -> Running {
        Running::new(Webhooks::new(self.settings.clone(), self.store.clone()).unwrap())
    }

    pub(crate) fn run_with_names(&self, names: Arc<dyn Resolve>) -> Running {
        Running::new(Webhooks::with_names(self.settings.clone(), self.store.clone(), names).unwrap())
    }

    pub(crate) async fn deliveries(&self, webhook: &WebhookRow) -> Vec<DeliveryRow> {
        self.store.list_deliveries(&webhook.id, None, (None, 100)).await.unwrap().0
    }

    /// Sends a test event and waits until its delivery has so many attempts, or has ended.
    pub(crate) async fn tried(&self, webhook: &WebhookRow, attempts: usize) -> DeliveryRow {
        let sent = self.store.test_webhook(webhook).await.unwrap();
        self.until(webhook, &sent, |delivery| {
            delivery.attempts.len() >= attempts || delivery.status != DeliveryStatus::Pending
        })
        .await
    }

    /// Waits until the delivery is so.
    pub(crate) async fn until(
        &self,
        webhook: &WebhookRow,
        sent: &DeliveryRow,
        is_so: impl Fn(&DeliveryRow) -> bool,
    ) -> DeliveryRow {
        let mut last = sent.clone();
        eventually(async || {
            last = self.store.delivery(&webhook.id, &sent.id).await.unwrap().unwrap();
            is_so(&last)
        })
        .await;
        last
    }

    pub(crate) async fn now(&self, webhook: &WebhookRow) -> WebhookRow {
        self.store.webhook(&webhook.tenant, &webhook.id).await.unwrap().unwrap()
    }
}

impl Running {
    fn new(webhooks: Webhooks) -> Self {
        let drain = Drain::new(LIMIT);
        let task = tokio::spawn({
            let drain = drain.clone();
            async move { webhooks.run(drain).await.unwrap() }
        });
        Self { drain, task }
    }

    /// Tells it to end and waits until it has.
    pub(crate) async fn end(mut self) {
        self.drain.begin();
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Polls a condition until it holds.
pub(crate) async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("it never came true");
}
