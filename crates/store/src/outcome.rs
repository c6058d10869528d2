//! The arrows of the batch state machine that a lease holder draws.

use crate::{BatchLease, BatchPart, NewFile, Store, row::db, store::Sql};
use domain::{BatchEventKind, BatchId, BatchStatus, Error, LineCounts, Result};

/// How a batch ends.
#[derive(Debug, Clone)]
pub struct FinishBatch {
    /// `completed`, `expired` or `cancelled`.
    pub status: BatchStatus,
    /// Answered lines; `None` when there are none.
    pub output: Option<NewFile>,
    /// Every other line; `None` when there are none.
    pub error: Option<NewFile>,
    /// How the lines ended; together they are all lines of the batch.
    pub counts: LineCounts,
    /// Where in the files the records of which lines are, in the order of the input.
    pub parts: Vec<BatchPart>,
}

impl Store {
    /// `validating` to `failed`. `false`: the lease is lost.
    pub async fn fail_validation(&self, lease: &BatchLease, errors_json: &str) -> Result<bool> {
        let statement = self
            .sql(
                "UPDATE batches SET status = 'failed', failed_at_ms = now_ms(), errors_json = $3, owner = NULL, \
                 lease_until_ms = 0 WHERE id = $1 AND epoch = $2 AND status = 'validating'",
            )
            .bind(lease.batch.id.as_str().to_owned())
            .bind(lease.epoch)
            .bind(errors_json.to_owned());
        self.changed_batch(statement, &lease.batch.id, BatchEventKind::Failed).await
    }

    /// `validating` to `in_progress`. Ends the lease. `false`: it was lost before.
    pub async fn start_batch(&self, lease: &BatchLease, total_lines: i64, model: Option<&str>) -> Result<bool> {
        let statement = self
            .sql(
                "UPDATE batches SET status = 'in_progress', in_progress_at_ms = now_ms(), total_lines = $3, model = $4, \
                 owner = NULL, lease_until_ms = 0, rung_at_ms = now_ms() \
                 WHERE id = $1 AND epoch = $2 AND status = 'validating'",
            )
            .bind(lease.batch.id.as_str().to_owned())
            .bind(lease.epoch)
            .bind(total_lines)
            .bind(model.map(str::to_owned));
        self.changed_batch(statement, &lease.batch.id, BatchEventKind::InProgress).await
    }

    /// `in_progress` to `finalizing`, when every line is planned and every shard done. `false`: not yet, or already.
    pub async fn begin_finalize(&self, batch: &BatchId) -> Result<bool> {
        let statement = self.sql(
            "UPDATE batches SET status = 'finalizing', finalizing_at_ms = now_ms(), owner = NULL, lease_until_ms = 0, \
             rung_at_ms = now_ms() WHERE id = $1 AND status = 'in_progress' AND planned_lines = total_lines \
             AND NOT EXISTS (SELECT 1 FROM shards WHERE batch_id = $1 AND status <> 'done')",
        );
        self.changed(statement.bind(batch.as_str())).await
    }

    /// The end: files, their ids and the terminal status appear together or not at all. `false`: the lease is lost,
    /// or a cancel was faster.
    pub async fn finish_batch(&self, lease: &BatchLease, finish: FinishBatch) -> Result<bool> {
        let total = lease.batch.total_lines;
        if finish.counts.recorded() != total {
            let recorded = finish.counts.recorded();
            return Err(Error::internal(format!("{} has {total} lines but {recorded} records", lease.batch.id)));
        }
        let (ended_at, event) = match finish.status {
            BatchStatus::Completed => ("completed_at_ms", BatchEventKind::Completed),
            BatchStatus::Expired => ("expired_at_ms", BatchEventKind::Expired),
            BatchStatus::Cancelled => ("cancelled_at_ms", BatchEventKind::Cancelled),
            other => return Err(Error::internal(format!("a batch can't be finished as {other}"))),
        };
        let mut tx = self.begin().await?;
        let ended = self.finish_sql(lease, &finish, ended_at).execute(&mut *tx).await.map_err(db)?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        for file in [&finish.output, &finish.error].into_iter().flatten() {
            self.insert_file_sql(file).execute(&mut *tx).await.map_err(db)?;
        }
        self.insert_parts(&mut tx, &lease.batch.id, &finish.parts).await?;
        self.record_event(&mut tx, &lease.batch.id, event, 0).await?;
        tx.commit().await.map_err(db)?;
        Ok(true)
    }

    fn finish_sql(&self, lease: &BatchLease, finish: &FinishBatch, ended_at: &str) -> Sql {
        let from: Vec<_> = BatchStatus::ALL
            .into_iter()
            .filter(|status| status.can_become(finish.status))
            .map(|status| format!("'{status}'"))
            .collect();
        let sql = format!(
            "UPDATE batches SET status = $3, {ended_at} = now_ms(), output_file_id = $4, error_file_id = $5, \
             lines_completed = $6, lines_failed = $7, lines_expired = $8, lines_cancelled = $9, owner = NULL, \
             lease_until_ms = 0 WHERE id = $1 AND epoch = $2 AND status IN ({})",
            from.join(", ")
        );
        let file_id = |file: &Option<NewFile>| file.as_ref().map(|file| file.id.as_str().to_owned());
        self.sql(&sql)
            .bind(lease.batch.id.as_str().to_owned())
            .bind(lease.epoch)
            .bind(finish.status.as_str())
            .bind(file_id(&finish.output))
            .bind(file_id(&finish.error))
            .bind(finish.counts.completed)
            .bind(finish.counts.failed)
            .bind(finish.counts.expired)
            .bind(finish.counts.cancelled)
    }
}
