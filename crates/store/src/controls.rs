//! What an owner may ask of a batch that runs: other terms, another deadline, a pause. Workers are told with their heartbeats.

use crate::{BatchRow, Store, batches::batch_row, row::db};
use domain::{BatchId, BatchStatus, DailyWindow, Error, Kind, Priority, Result, TenantId, Terms};

/// The latest deadline, counted from now.
const LONGEST_MS: i64 = 7 * 86_400_000;

/// What is to become of a batch; `None` stays as it is, `Some(None)` is taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchPatch {
    /// Another place among its tenant's batches.
    pub priority: Option<Priority>,
    /// Another beginning; milliseconds.
    pub not_before_ms: Option<Option<i64>>,
    /// Another part of the day.
    pub run_between: Option<Option<DailyWindow>>,
    /// Another number of lines in flight.
    pub max_concurrency: Option<Option<i64>>,
    /// Another deadline; milliseconds.
    pub expires_at_ms: Option<i64>,
}

impl BatchPatch {
    fn apply(&self, terms: Terms) -> Terms {
        Terms {
            priority: self.priority.unwrap_or(terms.priority),
            not_before_ms: self.not_before_ms.unwrap_or(terms.not_before_ms),
            run_between: self.run_between.unwrap_or(terms.run_between),
            max_concurrency: self.max_concurrency.unwrap_or(terms.max_concurrency),
        }
    }
}

impl Store {
    /// Changes a batch that has not ended. `None`: no such batch. Conflict when it has ended or its files are being assembled.
    pub async fn patch_batch(&self, tenant: &TenantId, id: &BatchId, patch: &BatchPatch) -> Result<Option<BatchRow>> {
        let mut tx = self.begin().await?;
        let batch = self.lock_batch(&mut tx, id).await?.filter(|batch| batch.tenant == *tenant);
        let Some(batch) = batch else { return Ok(None) };
        require_alive(&batch, "change")?;
        if let Some(expires) = patch.expires_at_ms {
            judge_deadline(expires, batch.read_at_ms)?;
        }
        let terms = patch.apply(batch.terms);
        let daily = terms.run_between.map(DailyWindow::to_minutes);
        let row = self
            .sql(
                "UPDATE batches SET priority = $2, not_before_ms = $3, daily_start_min = $4, daily_end_min = $5, \
                 max_concurrency = $6, expires_at_ms = $7 WHERE id = $1 RETURNING *, now_ms() AS read_at_ms",
            )
            .bind(id.as_str())
            .bind(terms.priority.rank())
            .bind(terms.not_before_ms)
            .bind(daily.map(|(start, _)| start))
            .bind(daily.map(|(_, end)| end))
            .bind(terms.max_concurrency)
            .bind(patch.expires_at_ms.unwrap_or(batch.expires_at_ms))
            .fetch_one(&mut *tx)
            .await
            .map_err(db)?;
        let after = batch_row(&row)?;
        judge_beginning(&after)?;
        tx.commit().await.map_err(db)?;
        self.control_hint().notify_waiters();
        Ok(Some(after))
    }

    /// Lets no more lines begin; those in flight finish. Pausing twice is fine. `None`: no such batch.
    pub async fn pause_batch(&self, tenant: &TenantId, id: &BatchId) -> Result<Option<BatchRow>> {
        self.set_pause(tenant, id, "pause", "paused_at_ms = COALESCE(paused_at_ms, now_ms())").await
    }

    /// Ends a pause; if `extends`, the deadline moves by as long as it lasted. Resuming what runs is fine. `None`: no such batch.
    pub async fn resume_batch(&self, tenant: &TenantId, id: &BatchId, extends: bool) -> Result<Option<BatchRow>> {
        let extension = "expires_at_ms = expires_at_ms + COALESCE(now_ms() - paused_at_ms, 0), ";
        let change = format!("{}paused_at_ms = NULL", if extends { extension } else { "" });
        self.set_pause(tenant, id, "resume", &change).await
    }

    async fn set_pause(&self, tenant: &TenantId, id: &BatchId, verb: &str, change: &str) -> Result<Option<BatchRow>> {
        let mut tx = self.begin().await?;
        let batch = self.lock_batch(&mut tx, id).await?.filter(|batch| batch.tenant == *tenant);
        let Some(batch) = batch else { return Ok(None) };
        require_alive(&batch, verb)?;
        let row = self
            .sql(&format!("UPDATE batches SET {change} WHERE id = $1 RETURNING *, now_ms() AS read_at_ms"))
            .bind(id.as_str())
            .fetch_one(&mut *tx)
            .await
            .map_err(db)?;
        tx.commit().await.map_err(db)?;
        self.control_hint().notify_waiters();
        batch_row(&row).map(Some)
    }
}

fn require_alive(batch: &BatchRow, verb: &str) -> Result<()> {
    if !matches!(batch.status, BatchStatus::Validating | BatchStatus::InProgress) {
        return Err(Error::new(Kind::Conflict, format!("Cannot {verb} a batch with status '{}'.", batch.status)));
    }
    if batch.is_due() {
        return Err(Error::new(Kind::Conflict, format!("Cannot {verb} a batch whose window has closed.")));
    }
    Ok(())
}

fn judge_deadline(expires_at_ms: i64, now_ms: i64) -> Result<()> {
    if (now_ms + 1..=now_ms + LONGEST_MS).contains(&expires_at_ms) {
        return Ok(());
    }
    Err(invalid("expires_at", "`expires_at` must be in the future, at most 7 days from now."))
}

/// A batch that may begin only after its deadline would never run.
pub(crate) fn judge_beginning(batch: &BatchRow) -> Result<()> {
    if batch.terms.not_before_ms.is_none_or(|begin| begin < batch.expires_at_ms) {
        return Ok(());
    }
    Err(invalid("not_before", "`not_before` must be before the batch expires; give it a longer window."))
}

fn invalid(param: &str, message: &str) -> Error {
    Error::invalid(message).with_param(param).with_code("invalid_value")
}
