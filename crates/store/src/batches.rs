//! The row of a batch: making, finding, listing and cancelling it.

use crate::{
    Store,
    controls::judge_beginning,
    paging::page,
    row::{Columns, db},
    store::Sql,
};
use domain::{
    BatchId, BatchStatus, DailyWindow, Endpoint, Error, FileId, Kind, LineCounts, Priority, Result, TenantId, Terms,
    Usage,
};
use sqlx::{Any, Transaction, any::AnyRow};

/// A batch to be made; it starts as `validating`.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// A new id.
    pub id: BatchId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What every line calls.
    pub endpoint: Endpoint,
    /// Where the lines are.
    pub input_file_id: FileId,
    /// The completion window.
    pub window_secs: i64,
    /// The client's metadata, as JSON.
    pub metadata: Option<String>,
    /// How long output files live, counted from their own creation.
    pub output_expires_secs: Option<i64>,
    /// W3C `traceparent` of the request that made it; the model calls of its lines carry it on.
    pub traceparent: Option<String>,
    /// When and how much of it may run.
    pub terms: Terms,
    /// The estimated tokens of its lines, by model.
    pub tokens: Vec<(String, i64)>,
    /// Whether identical deterministic lines of a shard are asked once.
    pub dedup: bool,
    /// The batch whose lines are asked again.
    pub redrive_of: Option<BatchId>,
}

/// A batch. Times are milliseconds of the database's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Its id.
    pub id: BatchId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What every line calls.
    pub endpoint: Endpoint,
    /// Where the lines are.
    pub input_file_id: FileId,
    /// The completion window.
    pub window_secs: i64,
    /// The client's metadata, as JSON.
    pub metadata: Option<String>,
    /// How long output files live, counted from their own creation.
    pub output_expires_secs: Option<i64>,
    /// W3C `traceparent` of the request that made it; the model calls of its lines carry it on.
    pub traceparent: Option<String>,
    /// When and how much of it may run.
    pub terms: Terms,
    /// Since when its owner lets no line begin.
    pub paused_at_ms: Option<i64>,
    /// Estimated tokens of all its lines.
    pub tokens: i64,
    /// Of these, of lines with a record.
    pub tokens_done: i64,
    /// Whether identical deterministic lines of a shard are asked once.
    pub dedup: bool,
    /// The batch whose lines are asked again.
    pub redrive_of: Option<BatchId>,
    /// Where it is in its life.
    pub status: BatchStatus,
    /// The model, when all lines name the same one.
    pub model: Option<String>,
    /// Why validation failed, as JSON.
    pub errors_json: Option<String>,
    /// Set together with the terminal status.
    pub output_file_id: Option<FileId>,
    /// Set together with the terminal status.
    pub error_file_id: Option<FileId>,
    /// Lines in the input; 0 until validated.
    pub total_lines: i64,
    /// Lines that are in shards already.
    pub planned_lines: i64,
    /// How the lines with a record ended.
    pub counts: LineCounts,
    /// Tokens used so far.
    pub usage: Usage,
    /// Calls made again because an answer was lost with a worker.
    pub redone_requests: i64,
    /// Lines that were answered with the answer to an identical line.
    pub deduplicated: i64,
    /// Fencing number of the newest batch lease.
    pub epoch: i64,
    /// When the newest batch lease ends; 0 when nobody holds it.
    pub lease_until_ms: i64,
    /// What the database's clock said when this row was read.
    pub read_at_ms: i64,
    /// When it was made.
    pub created_at_ms: i64,
    /// When its window closes.
    pub expires_at_ms: i64,
    /// On entry to `in_progress`.
    pub in_progress_at_ms: Option<i64>,
    /// On entry to `finalizing`.
    pub finalizing_at_ms: Option<i64>,
    /// On entry to `completed`.
    pub completed_at_ms: Option<i64>,
    /// On entry to `failed`.
    pub failed_at_ms: Option<i64>,
    /// On entry to `expired`.
    pub expired_at_ms: Option<i64>,
    /// On entry to `cancelling`.
    pub cancelling_at_ms: Option<i64>,
    /// On entry to `cancelled`.
    pub cancelled_at_ms: Option<i64>,
}

impl BatchRow {
    /// Whether the window had closed when this row was read.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.expires_at_ms <= self.read_at_ms
    }
}

impl Store {
    /// Makes a batch. RateLimited (code `token_limit_exceeded`) when the tenant has too many tokens enqueued.
    pub async fn insert_batch(&self, batch: NewBatch) -> Result<BatchRow> {
        let mut tx = self.begin().await?;
        let row = self.insert_batch_in(&mut tx, &batch).await?;
        tx.commit().await.map_err(db)?;
        Ok(row)
    }

    pub(crate) async fn insert_batch_in(
        &self,
        tx: &mut Transaction<'static, Any>,
        batch: &NewBatch,
    ) -> Result<BatchRow> {
        self.require_room(tx, batch).await?;
        let row = self.insert_batch_sql(batch).fetch_one(&mut **tx).await.map_err(db)?;
        let row = batch_row(&row)?;
        judge_beginning(&row)?;
        self.insert_batch_tokens(tx, batch).await?;
        Ok(row)
    }

    fn insert_batch_sql(&self, batch: &NewBatch) -> Sql {
        let daily = batch.terms.run_between.map(DailyWindow::to_minutes);
        self.sql(
            "INSERT INTO batches (id, tenant_id, endpoint, input_file_id, window_secs, metadata, output_expires_secs, \
             traceparent, priority, not_before_ms, daily_start_min, daily_end_min, max_concurrency, tokens, dedup, redrive_of, \
             status, created_at_ms, expires_at_ms, rung_at_ms) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 'validating', \
             clock.now, clock.now + CAST($5 AS BIGINT) * 1000, clock.now FROM (SELECT now_ms() AS now) clock \
             RETURNING *, now_ms() AS read_at_ms",
        )
        .bind(batch.id.as_str().to_owned())
        .bind(batch.tenant.as_str().to_owned())
        .bind(batch.endpoint.as_str())
        .bind(batch.input_file_id.as_str().to_owned())
        .bind(batch.window_secs)
        .bind(batch.metadata.clone())
        .bind(batch.output_expires_secs)
        .bind(batch.traceparent.clone())
        .bind(batch.terms.priority.rank())
        .bind(batch.terms.not_before_ms)
        .bind(daily.map(|(start, _)| start))
        .bind(daily.map(|(_, end)| end))
        .bind(batch.terms.max_concurrency)
        .bind(batch.tokens.iter().map(|(_, tokens)| tokens).sum::<i64>())
        .bind(i64::from(batch.dedup))
        .bind(batch.redrive_of.as_ref().map(|id| id.as_str().to_owned()))
    }

    async fn insert_batch_tokens(&self, tx: &mut Transaction<'static, Any>, batch: &NewBatch) -> Result<()> {
        for (model, tokens) in &batch.tokens {
            self.sql("INSERT INTO batch_tokens (batch_id, model, tokens) VALUES ($1, $2, $3)")
                .bind(batch.id.as_str())
                .bind(model.as_str())
                .bind(*tokens)
                .execute(&mut **tx)
                .await
                .map_err(db)?;
        }
        Ok(())
    }

    /// A tenant's batch.
    pub async fn batch(&self, tenant: &TenantId, id: &BatchId) -> Result<Option<BatchRow>> {
        Ok(self.batch_by_id(id).await?.filter(|batch| batch.tenant == *tenant))
    }

    /// Anybody's batch; for workers.
    pub async fn batch_by_id(&self, id: &BatchId) -> Result<Option<BatchRow>> {
        let row = self
            .sql("SELECT *, now_ms() AS read_at_ms FROM batches WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(self.reader())
            .await
            .map_err(db)?;
        row.as_ref().map(batch_row).transpose()
    }

    /// A page of a tenant's batches, newest first, and whether there are more. An unknown `after` is a 400.
    pub async fn list_batches(
        &self,
        tenant: &TenantId,
        after: Option<&BatchId>,
        limit: i64,
    ) -> Result<(Vec<BatchRow>, bool)> {
        let (created, id) = self.page_start("batches", tenant, after.map(BatchId::as_str), true).await?;
        let rows = self
            .sql(
                "SELECT *, now_ms() AS read_at_ms FROM batches WHERE tenant_id = $1 AND (created_at_ms, id) < ($2, $3) \
                 ORDER BY created_at_ms DESC, id DESC LIMIT $4",
            )
            .bind(tenant.as_str())
            .bind(created)
            .bind(id)
            .bind(limit + 1)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        page(&rows, limit, batch_row)
    }

    /// A page of the batches of one tenant or of all, newest first, and whether there are more; for operators.
    pub async fn list_every_batch(
        &self,
        tenant: Option<&TenantId>,
        status: Option<BatchStatus>,
        after: Option<&BatchId>,
        limit: i64,
    ) -> Result<(Vec<BatchRow>, bool)> {
        let filters = [("tenant_id", tenant.map(TenantId::as_str)), ("status", status.map(BatchStatus::as_str))];
        let select = "SELECT *, now_ms() AS read_at_ms FROM batches";
        self.newest(select, &filters, (after.map(BatchId::as_str), limit), batch_row).await
    }

    /// Asks for the end of a batch. Takes any batch lease away, so that whoever held it can't finish it otherwise.
    /// `None`: no such batch. Cancelling twice is fine; a batch that ended otherwise is a Conflict.
    pub async fn cancel_batch(&self, tenant: &TenantId, id: &BatchId) -> Result<Option<BatchRow>> {
        let row = self
            .sql(
                "UPDATE batches SET status = 'cancelling', cancelling_at_ms = now_ms(), owner = NULL, epoch = epoch + 1, \
                 lease_until_ms = 0, rung_at_ms = 0 WHERE id = $1 AND tenant_id = $2 \
                 AND status IN ('validating', 'in_progress', 'finalizing') RETURNING *, now_ms() AS read_at_ms",
            )
            .bind(id.as_str())
            .bind(tenant.as_str())
            .fetch_optional(self.writer())
            .await
            .map_err(db)?;
        if let Some(row) = row {
            self.control_hint().notify_waiters();
            return batch_row(&row).map(Some);
        }
        match self.batch(tenant, id).await? {
            Some(batch) if !matches!(batch.status, BatchStatus::Cancelling | BatchStatus::Cancelled) => {
                Err(Error::new(Kind::Conflict, format!("Cannot cancel a batch with status '{}'.", batch.status)))
            }
            batch => Ok(batch),
        }
    }
}

pub(crate) fn batch_row(row: &AnyRow) -> Result<BatchRow> {
    let columns = Columns(row);
    Ok(BatchRow {
        id: BatchId::from_string(columns.text("id")?),
        tenant: TenantId::from_string(columns.text("tenant_id")?),
        endpoint: columns.word("endpoint", Endpoint::parse)?,
        input_file_id: FileId::from_string(columns.text("input_file_id")?),
        window_secs: columns.int("window_secs")?,
        metadata: columns.opt_text("metadata")?,
        output_expires_secs: columns.opt_int("output_expires_secs")?,
        traceparent: columns.opt_text("traceparent")?,
        terms: terms(&columns)?,
        paused_at_ms: columns.opt_int("paused_at_ms")?,
        tokens: columns.int("tokens")?,
        tokens_done: columns.int("tokens_done")?,
        dedup: columns.int("dedup")? != 0,
        redrive_of: columns.opt_text("redrive_of")?.map(BatchId::from_string),
        status: columns.word("status", BatchStatus::parse)?,
        model: columns.opt_text("model")?,
        errors_json: columns.opt_text("errors_json")?,
        output_file_id: columns.opt_text("output_file_id")?.map(FileId::from_string),
        error_file_id: columns.opt_text("error_file_id")?.map(FileId::from_string),
        total_lines: columns.int("total_lines")?,
        planned_lines: columns.int("planned_lines")?,
        counts: columns.counts()?,
        usage: columns.usage()?,
        redone_requests: columns.int("redone_requests")?,
        deduplicated: columns.int("deduplicated")?,
        epoch: columns.int("epoch")?,
        lease_until_ms: columns.int("lease_until_ms")?,
        read_at_ms: columns.int("read_at_ms")?,
        created_at_ms: columns.int("created_at_ms")?,
        expires_at_ms: columns.int("expires_at_ms")?,
        in_progress_at_ms: columns.opt_int("in_progress_at_ms")?,
        finalizing_at_ms: columns.opt_int("finalizing_at_ms")?,
        completed_at_ms: columns.opt_int("completed_at_ms")?,
        failed_at_ms: columns.opt_int("failed_at_ms")?,
        expired_at_ms: columns.opt_int("expired_at_ms")?,
        cancelling_at_ms: columns.opt_int("cancelling_at_ms")?,
        cancelled_at_ms: columns.opt_int("cancelled_at_ms")?,
    })
}

fn terms(columns: &Columns<'_>) -> Result<Terms> {
    let daily = columns.opt_int("daily_start_min")?.zip(columns.opt_int("daily_end_min")?);
    Ok(Terms {
        priority: columns.rank("priority", Priority::from_rank)?,
        not_before_ms: columns.opt_int("not_before_ms")?,
        run_between: daily.and_then(|(start, end)| DailyWindow::from_minutes(start, end)),
        max_concurrency: columns.opt_int("max_concurrency")?,
    })
}
