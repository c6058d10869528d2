//! Webhooks and deliveries in the shapes of the wire.

use crate::{
    admin::bounds::secs,
    openapi::words::{AttemptOutcomeWord, DeliveryStatusWord, DisabledReasonWord, EventWord},
};
use domain::{BatchEventKind, DisabledReason, Error, Result};
use serde::Serialize;
use serde_json::Value;
use store::{AttemptRow, DeliveryRow, WebhookRow};
use utoipa::ToSchema;

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookObject {
    /// `wh_…`
    pub(super) id: String,
    /// Always `webhook`.
    object: &'static str,
    /// Where events go.
    url: String,
    /// Which events it wants.
    #[schema(value_type = Vec<EventWord>)]
    events: Vec<&'static str>,
    /// What its owner wants to remember.
    description: String,
    /// Whether it gets any.
    enabled: bool,
    /// Why the platform disabled it.
    #[schema(value_type = Option<DisabledReasonWord>)]
    disabled_reason: Option<&'static str>,
    /// Unix seconds; nothing has arrived since then.
    failing_since: Option<i64>,
    /// Unix seconds; until then the secret before the last rotation signs along.
    old_secret_until: Option<i64>,
    /// Unix seconds.
    created_at: i64,
}

/// A webhook and its secret, which can't be read again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewWebhookObject {
    #[serde(flatten)]
    webhook: WebhookObject,
    /// `whsec_…`, for the libraries of Standard Webhooks and OpenAI's.
    secret: String,
}

/// An event on its way to a webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryObject {
    /// `dlv_…`
    pub(super) id: String,
    /// Always `webhook.delivery`.
    object: &'static str,
    /// To which webhook.
    webhook_id: String,
    /// `evt_…`, which is also the header `webhook-id`.
    event_id: String,
    /// What happened.
    #[serde(rename = "type")]
    kind: String,
    /// How far it is.
    #[schema(value_type = DeliveryStatusWord)]
    status: &'static str,
    /// The delivery that this one repeats.
    replay_of: Option<String>,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds, while it is pending.
    next_attempt_at: Option<i64>,
    /// Unix seconds.
    ended_at: Option<i64>,
    /// What is sent.
    payload: Value,
    /// Oldest first.
    attempts: Vec<AttemptObject>,
}

/// One try to deliver.
#[derive(Debug, Serialize, ToSchema)]
struct AttemptObject {
    /// `att_…`
    id: String,
    /// Unix seconds.
    at: i64,
    /// Milliseconds that it took.
    took_ms: i64,
    /// How it ended.
    #[schema(value_type = AttemptOutcomeWord)]
    outcome: &'static str,
    /// The status of the answer.
    status_code: Option<i64>,
    /// The beginning of the answer, or why there was none.
    detail: String,
}

pub(super) fn webhook(row: WebhookRow) -> WebhookObject {
    WebhookObject {
        id: row.id.to_string(),
        object: "webhook",
        url: row.url,
        events: row.events.into_iter().map(BatchEventKind::as_str).collect(),
        description: row.description,
        enabled: row.is_enabled,
        disabled_reason: row.disabled_reason.map(DisabledReason::as_str),
        failing_since: row.failing_since_ms.map(secs),
        old_secret_until: row.old_secret_until_ms.map(secs),
        created_at: secs(row.created_at_ms),
    }
}

pub(super) fn new_webhook(row: WebhookRow, secret: &str) -> NewWebhookObject {
    NewWebhookObject { webhook: webhook(row), secret: secret.to_owned() }
}

pub(super) fn delivery(row: DeliveryRow) -> Result<DeliveryObject> {
    Ok(DeliveryObject {
        id: row.id.to_string(),
        object: "webhook.delivery",
        webhook_id: row.webhook.to_string(),
        event_id: row.event.to_string(),
        kind: row.kind,
        status: row.status.as_str(),
        replay_of: row.replay_of.map(|id| id.to_string()),
        created_at: secs(row.created_at_ms),
        next_attempt_at: row.next_at_ms.map(secs),
        ended_at: row.ended_at_ms.map(secs),
        payload: serde_json::from_str(&row.payload).map_err(Error::internal)?,
        attempts: row.attempts.into_iter().map(attempt).collect(),
    })
}

fn attempt(row: AttemptRow) -> AttemptObject {
    AttemptObject {
        id: row.id.to_string(),
        at: secs(row.at_ms),
        took_ms: row.took_ms,
        outcome: row.outcome.as_str(),
        status_code: row.http_status,
        detail: row.detail,
    }
}
