//! Where tenants want to be told of events. A secret comes here sealed and leaves sealed: what it says is not known here.

mod attempts;
mod changes;
mod claims;
mod deliveries;

pub use attempts::{AttemptSaid, Verdict};
pub use claims::{ClaimedDelivery, DeliveriesState};
pub use deliveries::{AttemptRow, DeliveryRow};

use crate::{
    Store,
    row::{Columns, db},
};
use domain::{BatchEventKind, DisabledReason, Error, Result, TenantId, WebhookId};
use sqlx::{Any, Transaction, any::AnyRow};
use std::fmt;

type Tx = Transaction<'static, Any>;

/// A secret as it is stored. Shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret(pub String);

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

/// A webhook as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where events go.
    pub url: String,
    /// What its owner wants to remember.
    pub description: String,
    /// Which events it wants.
    pub events: Vec<BatchEventKind>,
    /// Whether it gets any.
    pub is_enabled: bool,
    /// Why the platform disabled it.
    pub disabled_reason: Option<DisabledReason>,
    /// Milliseconds; nothing arrived since then.
    pub failing_since_ms: Option<i64>,
    /// Milliseconds; until then the secret before the last rotation signs too.
    pub old_secret_until_ms: Option<i64>,
    /// Milliseconds.
    pub created_at_ms: i64,
}

/// A webhook to be made.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Its id, to which the secret is bound.
    pub id: WebhookId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where events go.
    pub url: String,
    /// What its owner wants to remember.
    pub description: String,
    /// Which events it wants.
    pub events: Vec<BatchEventKind>,
    /// Whether it gets any.
    pub is_enabled: bool,
    /// What its deliveries are signed with.
    pub secret: SealedSecret,
}

/// What is to become of a webhook; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookPatch {
    /// Another address.
    pub url: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Other events.
    pub events: Option<Vec<BatchEventKind>>,
    /// Whether it gets any. `true` also forgets that it failed.
    pub is_enabled: Option<bool>,
}

impl Store {
    /// A page of a tenant's webhooks, newest first, and whether there are more.
    pub async fn list_webhooks(
        &self,
        tenant: &TenantId,
        after: Option<&WebhookId>,
        limit: i64,
    ) -> Result<(Vec<WebhookRow>, bool)> {
        let filters = [("tenant_id", Some(tenant.as_str()))];
        let page = (after.map(WebhookId::as_str), limit);
        self.newest("SELECT * FROM webhook_endpoints", &filters, page, webhook_row).await
    }

    /// The tenant's webhook of that id.
    pub async fn webhook(&self, tenant: &TenantId, id: &WebhookId) -> Result<Option<WebhookRow>> {
        let row = self
            .sql("SELECT * FROM webhook_endpoints WHERE id = $1 AND tenant_id = $2")
            .bind(id.as_str())
            .bind(tenant.as_str())
            .fetch_optional(self.reader())
            .await;
        row.map_err(db)?.as_ref().map(webhook_row).transpose()
    }
}

/// Kinds that this version does not know are left out.
fn events(columns: &Columns<'_>) -> Result<Vec<BatchEventKind>> {
    let words: Vec<String> = serde_json::from_str(&columns.text("events")?).map_err(Error::internal)?;
    Ok(words.iter().filter_map(|word| BatchEventKind::parse(word)).collect())
}

fn webhook_row(row: &AnyRow) -> Result<WebhookRow> {
    let columns = Columns(row);
    let reason = columns.opt_text("disabled_reason")?;
    Ok(WebhookRow {
        id: WebhookId::from_string(columns.text("id")?),
        tenant: TenantId::from_string(columns.text("tenant_id")?),
        url: columns.text("url")?,
        description: columns.text("description")?,
        events: events(&columns)?,
        is_enabled: columns.int("is_enabled")? == 1,
        disabled_reason: reason.as_deref().and_then(DisabledReason::parse),
        failing_since_ms: columns.opt_int("failing_since_ms")?,
        old_secret_until_ms: columns.opt_int("old_secret_until_ms")?,
        created_at_ms: columns.int("created_at_ms")?,
    })
}
