//! Who sends what, for a while: whoever claims a delivery has it alone until the hold ends. One that died in the meantime loses it
//! to the next, so that each delivery is tried at least once, and never by two at a time.

use super::{SealedSecret, Tx};
use crate::{
    Store,
    row::{Columns, db},
};
use domain::{DeliveryId, EventId, Result, WebhookId};
use sqlx::any::AnyRow;

/// Of a webhook of whose attempts the last one failed, so many are under way at once. Else those that don't answer would have
/// all the places there are.
const OF_FAILING: i64 = 1;

/// Pending, due, and held by nobody.
const IS_DUE: &str = "d.status = 'pending' AND d.next_at_ms <= now_ms() AND d.held_until_ms <= now_ms()";

/// A delivery to try now.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// Which.
    pub id: DeliveryId,
    /// Of the claim.
    pub epoch: i64,
    /// To which webhook.
    pub webhook: WebhookId,
    /// Where that is.
    pub url: String,
    /// The event, which is also the id of the message.
    pub event: EventId,
    /// What to send.
    pub payload: String,
    /// How many attempts there were.
    pub attempts: u32,
    /// What to sign it with.
    pub secret: SealedSecret,
    /// What to sign it with as well.
    pub old_secret: Option<SealedSecret>,
}

/// What is still to be delivered to webhooks that are enabled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveriesState {
    /// How many.
    pub waiting: i64,
    /// How long ago the oldest of them was made, in milliseconds.
    pub oldest_ms: i64,
    /// For how long the one has been due that nobody has tried yet, in milliseconds.
    pub late_ms: i64,
}

impl Store {
    /// Up to `limit` webhooks with something to send and fewer than `at_once` attempts under way; who waited longest comes first.
    pub async fn due_webhooks(&self, at_once: i64, limit: i64) -> Result<Vec<WebhookId>> {
        let rows = self
            .sql(&format!(
                "SELECT d.webhook_id FROM webhook_deliveries d JOIN webhook_endpoints w ON w.id = d.webhook_id \
                 WHERE {IS_DUE} AND w.is_enabled = 1 AND (SELECT COUNT(*) FROM webhook_deliveries b WHERE \
                 b.webhook_id = w.id AND b.status = 'pending' AND b.held_until_ms > now_ms()) < \
                 CASE WHEN w.failing_since_ms IS NULL THEN $1 ELSE {OF_FAILING} END \
                 GROUP BY d.webhook_id ORDER BY MIN(d.next_at_ms) LIMIT $2"
            ))
            .bind(at_once)
            .bind(limit)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        rows.iter().map(|row| Columns(row).text("webhook_id").map(WebhookId::from_string)).collect()
    }

    /// Claims up to `limit` due deliveries of a webhook, and no more than leave it with `at_once` attempts under way, whoever makes
    /// them. Nobody else gets them within `hold_ms`.
    pub async fn claim_deliveries(
        &self,
        webhook: &WebhookId,
        (at_once, limit): (i64, i64),
        hold_ms: i64,
    ) -> Result<Vec<ClaimedDelivery>> {
        let mut tx = self.begin().await?;
        let endpoint = self
            .sql(
                "SELECT id, url, secret, failing_since_ms, \
                 CASE WHEN old_secret_until_ms > now_ms() THEN old_secret END AS old_secret FROM webhook_endpoints WHERE id = $1 AND is_enabled = 1 FOR NO KEY UPDATE",
            )
            .bind(webhook.as_str().to_owned())
            .fetch_optional(&mut *tx)
            .await
            .map_err(db)?;
        let Some(endpoint) = endpoint else { return Ok(Vec::new()) };
        let columns = Columns(&endpoint);
        let at_once = if columns.opt_int("failing_since_ms")?.is_some() { OF_FAILING } else { at_once };
        let room = (at_once - self.under_way(&mut tx, webhook).await?).min(limit);
        if room <= 0 {
            return Ok(Vec::new());
        }
        let rows = self
            .sql(&format!(
                "UPDATE webhook_deliveries SET held_until_ms = now_ms() + $3, epoch = epoch + 1 WHERE id IN \
                 (SELECT d.id FROM webhook_deliveries d WHERE d.webhook_id = $1 AND {IS_DUE} \
                 ORDER BY d.next_at_ms, d.id LIMIT $2 FOR UPDATE SKIP LOCKED) \
                 RETURNING id, epoch, event_id, payload, attempts"
            ))
            .bind(webhook.as_str().to_owned())
            .bind(room)
            .bind(hold_ms)
            .fetch_all(&mut *tx)
            .await
            .map_err(db)?;
        tx.commit().await.map_err(db)?;
        rows.iter().map(|row| claimed(row, &columns)).collect()
    }

    /// Counted after the webhook is locked: nobody claims any of its deliveries meanwhile.
    async fn under_way(&self, tx: &mut Tx, webhook: &WebhookId) -> Result<i64> {
        let row = self
            .sql(
                "SELECT COUNT(*) AS under_way FROM webhook_deliveries WHERE webhook_id = $1 AND status = 'pending' \
                 AND held_until_ms > now_ms()",
            )
            .bind(webhook.as_str().to_owned())
            .fetch_one(&mut **tx)
            .await
            .map_err(db)?;
        Columns(&row).int("under_way")
    }

    /// What waits, and for how long.
    pub async fn deliveries_state(&self) -> Result<DeliveriesState> {
        let row = self
            .sql(
                "SELECT COUNT(*) AS waiting, COALESCE(now_ms() - MIN(d.created_at_ms), 0) AS oldest_ms, \
                 COALESCE(now_ms() - MIN(CASE WHEN d.held_until_ms <= now_ms() THEN d.next_at_ms END), 0) AS late_ms \
                 FROM webhook_deliveries d JOIN webhook_endpoints w ON w.id = d.webhook_id \
                 WHERE d.status = 'pending' AND w.is_enabled = 1",
            )
            .fetch_one(self.reader())
            .await
            .map_err(db)?;
        let columns = Columns(&row);
        Ok(DeliveriesState {
            waiting: columns.int("waiting")?,
            oldest_ms: columns.int("oldest_ms")?.max(0),
            late_ms: columns.int("late_ms")?.max(0),
        })
    }

    /// Removes up to `limit` deliveries that are older than `keep_ms`, with their attempts, and says how many.
    pub async fn purge_deliveries(&self, keep_ms: i64, limit: i64) -> Result<u64> {
        let done = self
            .sql(
                "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries \
                 WHERE created_at_ms < now_ms() - $1 ORDER BY created_at_ms LIMIT $2)",
            )
            .bind(keep_ms)
            .bind(limit)
            .execute(self.writer())
            .await
            .map_err(db)?;
        Ok(done.rows_affected())
    }
}

fn claimed(row: &AnyRow, endpoint: &Columns<'_>) -> Result<ClaimedDelivery> {
    let columns = Columns(row);
    Ok(ClaimedDelivery {
        id: DeliveryId::from_string(columns.text("id")?),
        epoch: columns.int("epoch")?,
        webhook: WebhookId::from_string(endpoint.text("id")?),
        url: endpoint.text("url")?,
        event: EventId::from_string(columns.text("event_id")?),
        payload: columns.text("payload")?,
        attempts: u32::try_from(columns.int("attempts")?).unwrap_or(u32::MAX),
        secret: SealedSecret(endpoint.text("secret")?),
        old_secret: endpoint.opt_text("old_secret")?.map(SealedSecret),
    })
}
