//! What came of an attempt: the log, what is next for the delivery, and what it says of the webhook, in one transaction.

use super::{ClaimedDelivery, Tx};
use crate::{
    AuditEntry, Author, Store,
    row::{Columns, db},
};
use domain::{AttemptId, AttemptOutcome, DisabledReason, Result, TenantId};
use serde_json::json;

/// What an attempt brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptSaid {
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The status of the answer, if there was one.
    pub http_status: Option<u16>,
    /// Milliseconds.
    pub took_ms: i64,
    /// The beginning of the answer, or why there was none.
    pub detail: String,
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The delivery arrived.
    Arrived,
    /// It is tried again after so many milliseconds.
    Again(i64),
    /// It was the last one. A webhook at which nothing arrived for so many milliseconds is disabled.
    GivenUp(i64),
    /// The webhook wants nothing any more and is disabled.
    Unwanted,
}

impl Store {
    /// Records an attempt and what follows, unless somebody else has claimed the delivery since. Says why the webhook was disabled, if
    /// it was.
    pub async fn record_attempt(
        &self,
        claimed: &ClaimedDelivery,
        said: &AttemptSaid,
        verdict: Verdict,
    ) -> Result<Option<DisabledReason>> {
        let mut tx = self.begin().await?;
        // Before the delivery, in the order of everybody who locks both.
        if !self.hold_endpoint(&mut tx, claimed).await? || !self.settle_delivery(&mut tx, claimed, verdict).await? {
            return Ok(None);
        }
        self.log_attempt(&mut tx, claimed, said).await?;
        self.note_health(&mut tx, claimed, verdict).await?;
        let disabled = match verdict {
            Verdict::Arrived | Verdict::Again(_) => None,
            Verdict::GivenUp(after_ms) => self.disable(&mut tx, claimed, DisabledReason::Failing, after_ms).await?,
            Verdict::Unwanted => self.disable(&mut tx, claimed, DisabledReason::Gone, 0).await?,
        };
        tx.commit().await.map_err(db)?;
        Ok(disabled)
    }

    async fn hold_endpoint(&self, tx: &mut Tx, claimed: &ClaimedDelivery) -> Result<bool> {
        let row = self
            .sql("SELECT id FROM webhook_endpoints WHERE id = $1 FOR NO KEY UPDATE")
            .bind(claimed.webhook.as_str().to_owned())
            .fetch_optional(&mut **tx)
            .await
            .map_err(db)?;
        Ok(row.is_some())
    }

    async fn settle_delivery(&self, tx: &mut Tx, claimed: &ClaimedDelivery, verdict: Verdict) -> Result<bool> {
        let (status, wait_ms) = match verdict {
            Verdict::Arrived => ("delivered", None),
            Verdict::Again(wait_ms) => ("pending", Some(wait_ms)),
            Verdict::GivenUp(_) | Verdict::Unwanted => ("failed", None),
        };
        let done = self
            .sql(
                "UPDATE webhook_deliveries SET status = $3, attempts = attempts + 1, held_until_ms = 0, \
                 next_at_ms = now_ms() + COALESCE($4, 0), ended_at_ms = CASE WHEN $4 IS NULL THEN now_ms() END \
                 WHERE id = $1 AND epoch = $2 AND status = 'pending'",
            )
            .bind(claimed.id.as_str().to_owned())
            .bind(claimed.epoch)
            .bind(status)
            .bind(wait_ms)
            .execute(&mut **tx)
            .await
            .map_err(db)?;
        Ok(done.rows_affected() > 0)
    }

    async fn log_attempt(&self, tx: &mut Tx, claimed: &ClaimedDelivery, said: &AttemptSaid) -> Result<()> {
        self.sql(
            "INSERT INTO webhook_attempts (id, delivery_id, at_ms, took_ms, outcome, http_status, detail) \
             VALUES ($1, $2, now_ms(), $3, $4, $5, $6)",
        )
        .bind(AttemptId::generate().as_str().to_owned())
        .bind(claimed.id.as_str().to_owned())
        .bind(said.took_ms)
        .bind(said.outcome.as_str())
        .bind(said.http_status.map(i64::from))
        // PostgreSQL has no place for this one character.
        .bind(said.detail.replace('\0', "\u{fffd}"))
        .execute(&mut **tx)
        .await
        .map_err(db)?;
        Ok(())
    }

    /// Since when nothing arrives.
    async fn note_health(&self, tx: &mut Tx, claimed: &ClaimedDelivery, verdict: Verdict) -> Result<()> {
        let sql = if verdict == Verdict::Arrived {
            "UPDATE webhook_endpoints SET failing_since_ms = NULL WHERE id = $1 AND failing_since_ms IS NOT NULL"
        } else {
            "UPDATE webhook_endpoints SET failing_since_ms = now_ms() WHERE id = $1 AND failing_since_ms IS NULL"
        };
        self.sql(sql).bind(claimed.webhook.as_str().to_owned()).execute(&mut **tx).await.map_err(db)?;
        Ok(())
    }

    async fn disable(
        &self,
        tx: &mut Tx,
        claimed: &ClaimedDelivery,
        reason: DisabledReason,
        after_ms: i64,
    ) -> Result<Option<DisabledReason>> {
        let row = self
            .sql(
                "UPDATE webhook_endpoints SET is_enabled = 0, disabled_reason = $2 WHERE id = $1 AND is_enabled = 1 \
                 AND failing_since_ms <= now_ms() - $3 RETURNING tenant_id",
            )
            .bind(claimed.webhook.as_str().to_owned())
            .bind(reason.as_str())
            .bind(after_ms)
            .fetch_optional(&mut **tx)
            .await
            .map_err(db)?;
        let Some(row) = row else { return Ok(None) };
        let tenant = TenantId::from_string(Columns(&row).text("tenant_id")?);
        let author = Author { actor: "webhooks".to_owned(), request_id: None };
        let done = author.did("webhook.disable", claimed.webhook.as_str(), Some(&tenant));
        let after = json!({"enabled": false, "disabled_reason": reason.as_str()});
        self.audit(tx, &AuditEntry { after: Some(after), ..done }).await?;
        Ok(Some(reason))
    }
}
