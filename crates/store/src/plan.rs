//! The shards of a batch: rows are made lazily, a window at a time, so a huge batch is not a huge table.

use crate::{
    Store,
    row::{Columns, db},
};
use domain::{BatchId, Bitmap, Error, Result, ShardId};
use sqlx::any::AnyRow;

/// A shard to be made: contiguous lines of the input.
#[derive(Debug, Clone)]
pub struct NewShard {
    /// A new id.
    pub id: ShardId,
    /// Its place among the shards of its batch, from 0.
    pub ordinal: i64,
    /// Its first line, counted from 0 over the lines of the index.
    pub first_line: i64,
    /// How many lines.
    pub line_count: i64,
    /// Where in the input blob its first line begins.
    pub byte_start: i64,
    /// Where in the input blob its last line ends.
    pub byte_end: i64,
    /// Estimated tokens of its lines.
    pub tokens: i64,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRow {
    /// Its id.
    pub id: ShardId,
    /// Its batch.
    pub batch_id: BatchId,
    /// Its place among the shards of its batch, from 0.
    pub ordinal: i64,
    /// Its first line, counted from 0 over the lines of the index.
    pub first_line: i64,
    /// How many lines.
    pub line_count: i64,
    /// Where in the input blob its first line begins.
    pub byte_start: i64,
    /// Where in the input blob its last line ends.
    pub byte_end: i64,
    /// Estimated tokens of its lines.
    pub tokens: i64,
    /// `runnable`, `leased` or `done`.
    pub status: String,
    /// Lines that have their record.
    pub done: Bitmap,
    /// Fencing number of the newest lease.
    pub epoch: i64,
    /// When the newest lease ends; 0 when nobody holds it. Milliseconds.
    pub lease_until_ms: i64,
    /// Leases that ended without a word from their worker.
    pub crash_count: i64,
    /// The same over the whole life of the shard: `crash_count` starts anew with each finished line.
    pub crashes: i64,
    /// Lines that a model server was asked under the lease that told last, and that had no record then.
    pub asked: Option<Bitmap>,
    /// Lines that were last told to be asked while the shard was suspect, and nothing else of it.
    pub trial: Option<Bitmap>,
    /// Calls made again because a lease before ended without their records.
    pub redone: i64,
}

/// What a planner needs to know of the shards there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedShards {
    /// Shards with lines that have no record.
    pub unfinished: usize,
    /// The place of the shard after the last one.
    pub next_ordinal: i64,
}

impl Store {
    /// Adds the next shards, if nobody has planned since `expected_planned` was read. `false`: somebody has, or the
    /// batch does not run, or the shards hold more lines than the batch.
    pub async fn plan_shards(&self, batch: &BatchId, expected_planned: i64, shards: &[NewShard]) -> Result<bool> {
        let lines: i64 = shards.iter().map(|shard| shard.line_count).sum();
        let mut tx = self.begin().await?;
        let planned = self
            .sql(
                "UPDATE batches SET planned_lines = planned_lines + $3 WHERE id = $1 AND planned_lines = $2 \
                 AND planned_lines + $3 <= total_lines AND status = 'in_progress'",
            )
            .bind(batch.as_str())
            .bind(expected_planned)
            .bind(lines)
            .execute(&mut *tx)
            .await
            .map_err(db)?;
        if planned.rows_affected() == 0 {
            return Ok(false);
        }
        for shard in shards {
            let empty = Bitmap::new(usize::try_from(shard.line_count).map_err(Error::internal)?);
            self.sql(
                "INSERT INTO shards (id, batch_id, ordinal, first_line, line_count, byte_start, byte_end, tokens, status, done, \
                 rung_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'runnable', $9, now_ms())",
            )
            .bind(shard.id.as_str())
            .bind(batch.as_str())
            .bind(shard.ordinal)
            .bind(shard.first_line)
            .bind(shard.line_count)
            .bind(shard.byte_start)
            .bind(shard.byte_end)
            .bind(shard.tokens)
            .bind(empty.as_bytes())
            .execute(&mut *tx)
            .await
            .map_err(db)?;
        }
        tx.commit().await.map_err(db)?;
        Ok(true)
    }

    /// How many shards of a batch are not done, and the place of the next one. Cheap, however many there are.
    pub async fn planned_shards(&self, batch: &BatchId) -> Result<PlannedShards> {
        let row = self
            .sql(
                "SELECT (SELECT COUNT(*) FROM shards WHERE batch_id = $1 AND status <> 'done') AS unfinished, \
                 (SELECT COALESCE(MAX(ordinal), -1) + 1 FROM shards WHERE batch_id = $1) AS next_ordinal",
            )
            .bind(batch.as_str())
            .fetch_one(self.reader())
            .await
            .map_err(db)?;
        let columns = Columns(&row);
        let unfinished = usize::try_from(columns.int("unfinished")?).map_err(Error::internal)?;
        Ok(PlannedShards { unfinished, next_ordinal: columns.int("next_ordinal")? })
    }

    /// The shards of a batch, in order.
    pub async fn shards(&self, batch: &BatchId) -> Result<Vec<ShardRow>> {
        let rows = self
            .sql("SELECT * FROM shards WHERE batch_id = $1 ORDER BY ordinal")
            .bind(batch.as_str())
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        rows.iter().map(shard_row).collect()
    }
}

pub(crate) fn shard_row(row: &AnyRow) -> Result<ShardRow> {
    let columns = Columns(row);
    let line_count = columns.int("line_count")?;
    let done = columns.blob("done")?;
    let lines = usize::try_from(line_count).map_err(Error::internal)?;
    let told = |name| Ok(columns.opt_blob(name)?.map(|told| Bitmap::from_bytes(lines, &told)));
    Ok(ShardRow {
        id: ShardId::from_string(columns.text("id")?),
        batch_id: BatchId::from_string(columns.text("batch_id")?),
        ordinal: columns.int("ordinal")?,
        first_line: columns.int("first_line")?,
        line_count,
        byte_start: columns.int("byte_start")?,
        byte_end: columns.int("byte_end")?,
        tokens: columns.int("tokens")?,
        status: columns.text("status")?,
        done: Bitmap::from_bytes(lines, &done),
        epoch: columns.int("epoch")?,
        lease_until_ms: columns.int("lease_until_ms")?,
        crash_count: columns.int("crash_count")?,
        crashes: columns.int("crashes")?,
        asked: told("asked")?,
        trial: told("trial")?,
        redone: columns.int("redone")?,
    })
}
