//! What ended batches leave in blob storage: segments, and files of finalisers that lost their lease.

use crate::{
    Store,
    row::{Columns, db},
};
use domain::{BatchId, Result};

/// An ended batch with blobs that nobody reads any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftovers {
    /// For [`Store::mark_cleared`].
    pub batch: BatchId,
    /// Blobs of its files: these stay.
    pub keep: Vec<String>,
}

impl Store {
    /// Batches that ended more than `age_ms` ago and have not been cleared. The age must exceed a lease: a worker that lost
    /// its lease may still write a blob for that long.
    pub async fn leftovers(&self, age_ms: i64, limit: i64) -> Result<Vec<Leftovers>> {
        let rows = self
            .sql(
                "SELECT b.id, o.blob AS output, e.blob AS error FROM batches b \
                 LEFT JOIN files o ON o.id = b.output_file_id LEFT JOIN files e ON e.id = b.error_file_id \
                 WHERE b.cleared_at_ms IS NULL AND b.status IN ('completed', 'failed', 'expired', 'cancelled') \
                 AND COALESCE(b.completed_at_ms, b.failed_at_ms, b.expired_at_ms, b.cancelled_at_ms) <= now_ms() - $1 \
                 LIMIT $2",
            )
            .bind(age_ms)
            .bind(limit)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        let leftovers = |row| {
            let columns = Columns(row);
            let files = [columns.opt_text("output")?, columns.opt_text("error")?];
            let batch = BatchId::from_string(columns.text("id")?);
            Ok(Leftovers { batch, keep: files.into_iter().flatten().collect() })
        };
        rows.iter().map(leftovers).collect()
    }

    /// Notes that the leftovers of a batch are gone. `false`: somebody else noted it.
    pub async fn mark_cleared(&self, batch: &BatchId) -> Result<bool> {
        let statement = self.sql("UPDATE batches SET cleared_at_ms = now_ms() WHERE id = $1 AND cleared_at_ms IS NULL");
        self.changed(statement.bind(batch.as_str())).await
    }
}
