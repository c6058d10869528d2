//! Events on their way to webhooks: written with the event, read by the owner, repeated at the owner's wish.

use super::{Tx, WebhookRow, events};
use crate::{
    BatchEvent, Store,
    outbox::json,
    row::{Columns, db},
};
use domain::{
    AttemptId, AttemptOutcome, BatchEventKind, DeliveryId, DeliveryStatus, Error, EventId, Kind, Result, WebhookId,
};
use sqlx::any::AnyRow;
use std::collections::HashMap;
use wire::webhook::WebhookEvent;

/// The event of a test. Every webhook gets it, whichever events it wants.
const TEST: &str = "webhook.test";

/// A delivery as the owner of its webhook sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// What is told; the same for all deliveries of one event.
    pub event: EventId,
    /// The event's kind, as `batch.completed`.
    pub kind: String,
    /// What is sent.
    pub payload: String,
    /// The delivery that this one repeats.
    pub replay_of: Option<DeliveryId>,
    /// How far it is.
    pub status: DeliveryStatus,
    /// Milliseconds.
    pub created_at_ms: i64,
    /// Milliseconds; when the next attempt is due, while it is pending.
    pub next_at_ms: Option<i64>,
    /// Milliseconds.
    pub ended_at_ms: Option<i64>,
    /// The attempts so far, oldest first.
    pub attempts: Vec<AttemptRow>,
}

/// An attempt as the owner of its webhook sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// Its id.
    pub id: AttemptId,
    /// Milliseconds; when it ended.
    pub at_ms: i64,
    /// Milliseconds that it took.
    pub took_ms: i64,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The status of the answer.
    pub http_status: Option<i64>,
    /// The beginning of the answer, or why there was none.
    pub detail: String,
}

/// What a delivery is to tell.
struct Told<'a> {
    event: &'a EventId,
    kind: &'a str,
    payload: &'a str,
    replay_of: Option<&'a DeliveryId>,
}

impl Store {
    /// Puts an event on its way to every webhook of its tenant that wants it.
    pub(crate) async fn tell_webhooks(&self, tx: &mut Tx, event: &BatchEvent) -> Result<()> {
        let rows = self
            // The lock keeps the webhook there until this is committed: else its deletion would undo what happened to the batch.
            .sql("SELECT id, events FROM webhook_endpoints WHERE tenant_id = $1 AND is_enabled = 1 ORDER BY id FOR KEY SHARE")
            .bind(event.tenant.as_str().to_owned())
            .fetch_all(&mut **tx)
            .await
            .map_err(db)?;
        if rows.is_empty() {
            return Ok(());
        }
        let payload = payload(event)?;
        let told = Told { event: &event.id, kind: event.kind.as_str(), payload: &payload, replay_of: None };
        for row in &rows {
            let columns = Columns(row);
            if events(&columns)?.contains(&event.kind) {
                self.insert_delivery(tx, &WebhookId::from_string(columns.text("id")?), &told).await?;
            }
        }
        Ok(())
    }

    /// Puts a test event on its way.
    ///
    /// # Errors
    /// Conflict when the webhook is disabled.
    pub async fn test_webhook(&self, webhook: &WebhookRow) -> Result<DeliveryRow> {
        require_enabled(webhook)?;
        let event = EventId::generate();
        let body = WebhookEvent::new(event.as_str(), TEST, self.now_ms().await?.div_euclid(1_000), webhook.id.as_str());
        let payload = serde_json::to_string(&body).map_err(Error::internal)?;
        let told = Told { event: &event, kind: TEST, payload: &payload, replay_of: None };
        self.add_delivery(webhook, &told).await
    }

    /// Tries a delivery now. One that has ended is repeated as another with the same event. `None`: the webhook has none of that id.
    ///
    /// # Errors
    /// Conflict when the webhook is disabled.
    pub async fn replay_delivery(&self, webhook: &WebhookRow, id: &DeliveryId) -> Result<Option<DeliveryRow>> {
        require_enabled(webhook)?;
        let hurried = self
            .sql(
                "UPDATE webhook_deliveries SET next_at_ms = now_ms() WHERE id = $1 AND webhook_id = $2 \
                 AND status = 'pending' AND next_at_ms > now_ms()",
            )
            .bind(id.as_str().to_owned())
            .bind(webhook.id.as_str().to_owned());
        self.changed(hurried).await?;
        let Some(delivery) = self.delivery(&webhook.id, id).await? else { return Ok(None) };
        if delivery.status == DeliveryStatus::Pending {
            return Ok(Some(delivery));
        }
        let told = Told {
            event: &delivery.event,
            kind: &delivery.kind,
            payload: &delivery.payload,
            replay_of: Some(&delivery.id),
        };
        self.add_delivery(webhook, &told).await.map(Some)
    }

    /// The webhook's delivery of that id.
    pub async fn delivery(&self, webhook: &WebhookId, id: &DeliveryId) -> Result<Option<DeliveryRow>> {
        let row = self
            .sql("SELECT * FROM webhook_deliveries WHERE id = $1 AND webhook_id = $2")
            .bind(id.as_str())
            .bind(webhook.as_str())
            .fetch_optional(self.reader())
            .await
            .map_err(db)?;
        let Some(row) = row else { return Ok(None) };
        Ok(self.with_attempts(vec![counted(&row)?]).await?.into_iter().next())
    }

    /// A page of a webhook's deliveries with their attempts, newest first, and whether there are more.
    pub async fn list_deliveries(
        &self,
        webhook: &WebhookId,
        status: Option<DeliveryStatus>,
        page: (Option<&DeliveryId>, i64),
    ) -> Result<(Vec<DeliveryRow>, bool)> {
        let filters = [("webhook_id", Some(webhook.as_str())), ("status", status.map(DeliveryStatus::as_str))];
        let page = (page.0.map(DeliveryId::as_str), page.1);
        let (rows, has_more) = self.newest("SELECT * FROM webhook_deliveries", &filters, page, counted).await?;
        Ok((self.with_attempts(rows).await?, has_more))
    }

    /// Adds to each delivery as many attempts as it had when it was read: one that was recorded since would not go with its status.
    async fn with_attempts(&self, deliveries: Vec<(DeliveryRow, usize)>) -> Result<Vec<DeliveryRow>> {
        let ids: Vec<_> = deliveries.iter().map(|(delivery, _)| delivery.id.as_str()).collect();
        let ids_of = self.texts_of_json();
        let rows = self
            .sql(&format!("SELECT * FROM webhook_attempts WHERE delivery_id IN ({ids_of}) ORDER BY at_ms, id"))
            .bind(json(&ids)?)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        let mut attempts: HashMap<String, Vec<AttemptRow>> = HashMap::new();
        for row in &rows {
            attempts.entry(Columns(row).text("delivery_id")?).or_default().push(attempt_row(row)?);
        }
        let complete = |(delivery, count): (DeliveryRow, usize)| {
            let mut attempts = attempts.remove(delivery.id.as_str()).unwrap_or_default();
            attempts.truncate(count);
            DeliveryRow { attempts, ..delivery }
        };
        Ok(deliveries.into_iter().map(complete).collect())
    }

    async fn add_delivery(&self, webhook: &WebhookRow, told: &Told<'_>) -> Result<DeliveryRow> {
        let mut tx = self.begin().await?;
        let delivery = self.insert_delivery(&mut tx, &webhook.id, told).await?;
        tx.commit().await.map_err(db)?;
        Ok(delivery)
    }

    async fn insert_delivery(&self, tx: &mut Tx, webhook: &WebhookId, told: &Told<'_>) -> Result<DeliveryRow> {
        let row = self
            .sql(
                "INSERT INTO webhook_deliveries (id, webhook_id, event_id, kind, payload, replay_of, status, created_at_ms, \
                 next_at_ms) VALUES ($1, $2, $3, $4, $5, $6, 'pending', now_ms(), now_ms()) RETURNING *",
            )
            .bind(DeliveryId::generate().as_str().to_owned())
            .bind(webhook.as_str().to_owned())
            .bind(told.event.as_str().to_owned())
            .bind(told.kind.to_owned())
            .bind(told.payload.to_owned())
            .bind(told.replay_of.map(|id| id.as_str().to_owned()))
            .fetch_one(&mut **tx)
            .await
            .map_err(db)?;
        delivery_row(&row)
    }
}

fn payload(event: &BatchEvent) -> Result<String> {
    let created_at = event.created_at_ms.div_euclid(1_000);
    let mut body = WebhookEvent::new(event.id.as_str(), event.kind.as_str(), created_at, event.batch.as_str());
    body.data.percent = (event.kind == BatchEventKind::Progress).then_some(event.percent);
    serde_json::to_string(&body).map_err(Error::internal)
}

fn require_enabled(webhook: &WebhookRow) -> Result<()> {
    if webhook.is_enabled {
        return Ok(());
    }
    let text = format!("The webhook {} is disabled. Enable it first: PATCH it with {{\"enabled\": true}}.", webhook.id);
    Err(Error::new(Kind::Conflict, text).with_code("webhook_disabled"))
}

/// A delivery without its attempts, and how many there are.
fn counted(row: &AnyRow) -> Result<(DeliveryRow, usize)> {
    let count = Columns(row).int("attempts")?;
    Ok((delivery_row(row)?, usize::try_from(count).unwrap_or_default()))
}

fn delivery_row(row: &AnyRow) -> Result<DeliveryRow> {
    let columns = Columns(row);
    let status = columns.word("status", DeliveryStatus::parse)?;
    let next_at_ms = columns.int("next_at_ms")?;
    Ok(DeliveryRow {
        id: DeliveryId::from_string(columns.text("id")?),
        webhook: WebhookId::from_string(columns.text("webhook_id")?),
        event: EventId::from_string(columns.text("event_id")?),
        kind: columns.text("kind")?,
        payload: columns.text("payload")?,
        replay_of: columns.opt_text("replay_of")?.map(DeliveryId::from_string),
        status,
        created_at_ms: columns.int("created_at_ms")?,
        next_at_ms: (status == DeliveryStatus::Pending).then_some(next_at_ms),
        ended_at_ms: columns.opt_int("ended_at_ms")?,
        attempts: Vec::new(),
    })
}

fn attempt_row(row: &AnyRow) -> Result<AttemptRow> {
    let columns = Columns(row);
    Ok(AttemptRow {
        id: AttemptId::from_string(columns.text("id")?),
        at_ms: columns.int("at_ms")?,
        took_ms: columns.int("took_ms")?,
        outcome: columns.word("outcome", AttemptOutcome::parse)?,
        http_status: columns.opt_int("http_status")?,
        detail: columns.text("detail")?,
    })
}
