//! What happened to batches. An event is written in the transaction that made it true, so there is none without its cause and no
//! cause without its event. Each happens to a batch once.

mod outbox;

pub use outbox::EventToTell;

use crate::{
    Store,
    dispatch::{BATCH_OPEN, BATCH_RUNS},
    row::{Columns, db},
    store::Sql,
};
use domain::{BatchEventKind, BatchId, EventId, Result, TenantId};
use sqlx::{Any, Transaction, any::AnyRow};

/// So many batches become at risk in one sweep; the others in the next.
const RISKS_A_SWEEP: i64 = 100;

/// At the pace since it began, what is left of the batch takes longer than its window lasts. Not judged before a tenth of the window
/// has passed: a batch that waits for its turn has no pace.
const IS_AT_RISK: &str = "(now_ms() - b.created_at_ms) * 10 >= b.expires_at_ms - b.created_at_ms \
    AND CAST(now_ms() - b.in_progress_at_ms AS DOUBLE PRECISION) * (b.tokens - b.tokens_done) \
    > CAST(b.expires_at_ms - now_ms() AS DOUBLE PRECISION) * b.tokens_done";

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEvent {
    /// Later ones sort after earlier ones.
    pub id: EventId,
    /// To which batch.
    pub batch: BatchId,
    /// Whose batch that is.
    pub tenant: TenantId,
    /// What happened.
    pub kind: BatchEventKind,
    /// Of the lines, for [`BatchEventKind::Progress`]; else 0.
    pub percent: i64,
    /// Milliseconds since 1970, of the database's clock.
    pub created_at_ms: i64,
}

impl Store {
    /// What happened to a batch, oldest first.
    pub async fn batch_events(&self, batch: &BatchId) -> Result<Vec<BatchEvent>> {
        let rows = self
            .sql("SELECT * FROM batch_events WHERE batch_id = $1 ORDER BY id")
            .bind(batch.as_str())
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        rows.iter().map(batch_event).collect()
    }

    /// Runs a write that changes a batch; if it changes it, that becomes an event. Says whether it did.
    pub(crate) async fn changed_batch(&self, statement: Sql, batch: &BatchId, kind: BatchEventKind) -> Result<bool> {
        let mut tx = self.begin().await?;
        if statement.execute(&mut *tx).await.map_err(db)?.rows_affected() == 0 {
            return Ok(false);
        }
        self.record_event(&mut tx, batch, kind, 0).await?;
        tx.commit().await.map_err(db)?;
        Ok(true)
    }

    /// Writes an event, unless the batch has it.
    pub(crate) async fn record_event(
        &self,
        tx: &mut Transaction<'static, Any>,
        batch: &BatchId,
        kind: BatchEventKind,
        percent: i64,
    ) -> Result<()> {
        let id = EventId::generate();
        let row = self
            .sql(
                "INSERT INTO batch_events (id, batch_id, tenant_id, kind, percent, created_at_ms) \
                 SELECT $1, b.id, b.tenant_id, $3, $4, now_ms() FROM batches b WHERE b.id = $2 \
                 ON CONFLICT (batch_id, kind, percent) DO NOTHING RETURNING *",
            )
            .bind(id.as_str().to_owned())
            .bind(batch.as_str().to_owned())
            .bind(kind.as_str())
            .bind(percent)
            .fetch_optional(&mut **tx)
            .await
            .map_err(db)?;
        let Some(row) = row else { return Ok(()) };
        self.tell_webhooks(tx, &batch_event(&row)?).await?;
        if self.publishes_events() {
            self.put_event_into_outbox(tx, &id).await?;
        }
        Ok(())
    }

    /// Tells of batches that will miss their window.
    pub(crate) async fn record_risks(&self) -> Result<()> {
        let rows = self
            .sql(&format!(
                "SELECT b.id FROM batches b WHERE {BATCH_RUNS} AND {BATCH_OPEN} AND {IS_AT_RISK} AND NOT EXISTS \
                 (SELECT 1 FROM batch_events e WHERE e.batch_id = b.id AND e.kind = $1) LIMIT $2"
            ))
            .bind(BatchEventKind::AtRisk.as_str())
            .bind(RISKS_A_SWEEP)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        for row in &rows {
            let batch = BatchId::from_string(Columns(row).text("id")?);
            let mut tx = self.begin().await?;
            self.record_event(&mut tx, &batch, BatchEventKind::AtRisk, 0).await?;
            tx.commit().await.map_err(db)?;
        }
        Ok(())
    }
}

fn batch_event(row: &AnyRow) -> Result<BatchEvent> {
    let columns = Columns(row);
    Ok(BatchEvent {
        id: EventId::from_string(columns.text("id")?),
        batch: BatchId::from_string(columns.text("batch_id")?),
        tenant: TenantId::from_string(columns.text("tenant_id")?),
        kind: columns.word("kind", BatchEventKind::parse)?,
        percent: columns.int("percent")?,
        created_at_ms: columns.int("created_at_ms")?,
    })
}
