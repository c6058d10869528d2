//! Changes of webhooks, each in one transaction with its record. A record holds nothing of a secret.

use super::{NewWebhook, SealedSecret, Tx, WebhookPatch, WebhookRow, webhook_row};
use crate::{
    AuditEntry, Author, Store,
    row::{Columns, db},
    store::Sql,
};
use domain::{BatchEventKind, Error, Kind, Result, TenantId, WebhookId};
use serde_json::{Value, json};

impl Store {
    /// A new webhook; Conflict when its tenant has `most` already.
    pub async fn create_webhook(&self, author: &Author, new: &NewWebhook, most: i64) -> Result<WebhookRow> {
        let mut tx = self.begin().await?;
        // The lock makes the count hold.
        self.lock_tenant(&mut tx, &new.tenant).await?;
        self.require_few_webhooks(&mut tx, &new.tenant, most).await?;
        let row = self
            .sql(
                "INSERT INTO webhook_endpoints (id, tenant_id, url, description, events, is_enabled, secret, created_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, now_ms()) RETURNING *",
            )
            .bind(new.id.as_str())
            .bind(new.tenant.as_str())
            .bind(new.url.as_str())
            .bind(new.description.as_str())
            .bind(events_json(&new.events)?)
            .bind(i64::from(new.is_enabled))
            .bind(new.secret.0.as_str())
            .fetch_one(&mut *tx)
            .await
            .map_err(db)?;
        let webhook = webhook_row(&row)?;
        self.record_webhook(tx, author, "webhook.create", None, Some(&webhook)).await?;
        Ok(webhook)
    }

    /// Changes a webhook. `None`: the tenant has none of that id.
    pub async fn patch_webhook(
        &self,
        author: &Author,
        (tenant, id): (&TenantId, &WebhookId),
        patch: &WebhookPatch,
    ) -> Result<Option<WebhookRow>> {
        let statement = self
            .sql(
                "UPDATE webhook_endpoints SET url = COALESCE($2, url), description = COALESCE($3, description), \
                 events = COALESCE($4, events), is_enabled = COALESCE($5, is_enabled), \
                 disabled_reason = CASE WHEN $5 IS NULL THEN disabled_reason END, \
                 failing_since_ms = CASE WHEN $5 = 1 THEN NULL ELSE failing_since_ms END WHERE id = $1 RETURNING *",
            )
            .bind(id.as_str().to_owned())
            .bind(patch.url.clone())
            .bind(patch.description.clone())
            .bind(patch.events.as_deref().map(events_json).transpose()?)
            .bind(patch.is_enabled.map(i64::from));
        self.change_webhook(author, "webhook.patch", (tenant, id), statement).await
    }

    /// Gives a webhook another secret. The one before it signs along for `grace_ms` more; one that was before that ceases at once.
    /// `None`: the tenant has none of that id.
    pub async fn rotate_webhook_secret(
        &self,
        author: &Author,
        (tenant, id): (&TenantId, &WebhookId),
        secret: &SealedSecret,
        grace_ms: i64,
    ) -> Result<Option<WebhookRow>> {
        let statement = self
            .sql(
                "UPDATE webhook_endpoints SET old_secret = secret, old_secret_until_ms = now_ms() + $2, secret = $3 \
                 WHERE id = $1 RETURNING *",
            )
            .bind(id.as_str().to_owned())
            .bind(grace_ms)
            .bind(secret.0.clone());
        self.change_webhook(author, "webhook.rotate_secret", (tenant, id), statement).await
    }

    /// Deletes a webhook, its deliveries and their log. `false`: the tenant has none of that id.
    pub async fn delete_webhook(&self, author: &Author, tenant: &TenantId, id: &WebhookId) -> Result<bool> {
        let mut tx = self.begin().await?;
        let Some(before) = self.lock_webhook(&mut tx, tenant, id).await? else { return Ok(false) };
        let gone = self.sql("DELETE FROM webhook_endpoints WHERE id = $1").bind(id.as_str().to_owned());
        gone.execute(&mut *tx).await.map_err(db)?;
        self.record_webhook(tx, author, "webhook.delete", Some(&before), None).await?;
        Ok(true)
    }

    async fn change_webhook(
        &self,
        author: &Author,
        action: &'static str,
        (tenant, id): (&TenantId, &WebhookId),
        statement: Sql,
    ) -> Result<Option<WebhookRow>> {
        let mut tx = self.begin().await?;
        let Some(before) = self.lock_webhook(&mut tx, tenant, id).await? else { return Ok(None) };
        let after = webhook_row(&statement.fetch_one(&mut *tx).await.map_err(db)?)?;
        self.record_webhook(tx, author, action, Some(&before), Some(&after)).await?;
        Ok(Some(after))
    }

    async fn lock_webhook(&self, tx: &mut Tx, tenant: &TenantId, id: &WebhookId) -> Result<Option<WebhookRow>> {
        let row = self
            .sql("SELECT * FROM webhook_endpoints WHERE id = $1 AND tenant_id = $2 FOR UPDATE")
            .bind(id.as_str().to_owned())
            .bind(tenant.as_str().to_owned())
            .fetch_optional(&mut **tx)
            .await;
        row.map_err(db)?.as_ref().map(webhook_row).transpose()
    }

    async fn require_few_webhooks(&self, tx: &mut Tx, tenant: &TenantId, most: i64) -> Result<()> {
        let row = self
            .sql("SELECT COUNT(*) AS count FROM webhook_endpoints WHERE tenant_id = $1")
            .bind(tenant.as_str())
            .fetch_one(&mut **tx)
            .await
            .map_err(db)?;
        if Columns(&row).int("count")? < most {
            return Ok(());
        }
        let text = format!("There are {most} webhooks already, which is the most. Delete one, or change it.");
        Err(Error::new(Kind::Conflict, text).with_code("too_many_webhooks"))
    }

    async fn record_webhook(
        &self,
        mut tx: Tx,
        author: &Author,
        action: &'static str,
        before: Option<&WebhookRow>,
        after: Option<&WebhookRow>,
    ) -> Result<()> {
        let Some(webhook) = after.or(before) else { return Ok(()) };
        let done = author.did(action, webhook.id.as_str(), Some(&webhook.tenant));
        self.audit(&mut tx, &AuditEntry { before: before.map(told), after: after.map(told), ..done }).await?;
        tx.commit().await.map_err(db)
    }
}

/// What a record says of a webhook. Addresses may carry a token of their receiver, so only the place is told.
fn told(webhook: &WebhookRow) -> Value {
    let place = url::Url::parse(&webhook.url).ok();
    json!({
        "origin": place.map(|url| url.origin().ascii_serialization()),
        "description": webhook.description,
        "events": webhook.events.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
        "enabled": webhook.is_enabled,
        "old_secret_until_ms": webhook.old_secret_until_ms,
    })
}

fn events_json(events: &[BatchEventKind]) -> Result<String> {
    let words: Vec<_> = events.iter().map(|kind| kind.as_str()).collect();
    serde_json::to_string(&words).map_err(Error::internal)
}
