//! What an audit of a batch is made of: its shards a page at a time with their segments, and sums over all of them.

use crate::{
    SegmentRow, ShardRow, Store,
    plan::shard_row,
    row::{Columns, db},
    segments::segment_row,
};
use domain::{BatchId, Result};
use std::ops::RangeInclusive;

/// All shards of a batch together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardSums {
    /// Shards that were made.
    pub shards: i64,
    /// Leases that were given.
    pub leases: i64,
    /// Leases that ended without a word from their worker.
    pub crashes: i64,
    /// Checkpoints.
    pub segments: i64,
}

impl Store {
    /// The shards after the `after`th, at most `limit`, and whether there are more.
    pub async fn shards_after(&self, batch: &BatchId, after: i64, limit: i64) -> Result<(Vec<ShardRow>, bool)> {
        let rows = self
            .sql("SELECT * FROM shards WHERE batch_id = $1 AND ordinal > $2 ORDER BY ordinal LIMIT $3")
            .bind(batch.as_str())
            .bind(after)
            .bind(limit + 1)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        crate::paging::page(&rows, limit, shard_row)
    }

    /// The committed segments of some shards of a batch by (ordinal, epoch, seq).
    pub async fn segments_of(&self, batch: &BatchId, ordinals: RangeInclusive<i64>) -> Result<Vec<SegmentRow>> {
        let rows = self
            .sql(
                "SELECT g.*, s.line_count FROM segments g JOIN shards s ON s.id = g.shard_id WHERE g.batch_id = $1 \
                 AND g.ordinal >= $2 AND g.ordinal <= $3 ORDER BY g.ordinal, g.epoch, g.seq",
            )
            .bind(batch.as_str())
            .bind(*ordinals.start())
            .bind(*ordinals.end())
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        rows.iter().map(segment_row).collect()
    }

    /// Sums over the shards of a batch.
    pub async fn shard_sums(&self, batch: &BatchId) -> Result<ShardSums> {
        let row = self
            .sql(
                "SELECT COUNT(*) AS shards, CAST(COALESCE(SUM(epoch), 0) AS BIGINT) AS leases, \
                 CAST(COALESCE(SUM(crashes), 0) AS BIGINT) AS crashes, \
                 (SELECT COUNT(*) FROM segments g WHERE g.batch_id = $1) AS segments FROM shards WHERE batch_id = $1",
            )
            .bind(batch.as_str())
            .fetch_one(self.reader())
            .await
            .map_err(db)?;
        let columns = Columns(&row);
        Ok(ShardSums {
            shards: columns.int("shards")?,
            leases: columns.int("leases")?,
            crashes: columns.int("crashes")?,
            segments: columns.int("segments")?,
        })
    }
}
