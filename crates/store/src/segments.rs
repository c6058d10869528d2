//! Checkpoints: a segment is a blob that counts once its row is here. Committing is idempotent by
//! (shard, epoch, seq), and no line can be committed twice.

use crate::{
    ShardLease, ShardRow, Store,
    leases::SUSPECT_CRASHES,
    plan::shard_row,
    row::{Columns, db},
};
use domain::{
    BatchEventKind, BatchId, BatchStatus, Bitmap, Error, Kind, LineCounts, Result, ShardId, Usage, UsageRecord,
    fair::prorate, quarter_reached,
};
use sqlx::{Any, Transaction, any::AnyRow};

/// An object with records of a segment, and what it must read back as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentBlob {
    /// Where it is.
    pub path: String,
    /// CRC-32C of its bytes; none for what older versions wrote.
    pub crc32c: Option<u32>,
}

impl SegmentBlob {
    /// The object at `path` that has, or will have, these bytes.
    #[must_use]
    pub fn of(path: String, bytes: &[u8]) -> Self {
        Self { path, crc32c: Some(crc32c::crc32c(bytes)) }
    }
}

/// Finished lines of a shard; their blobs are durable already.
#[derive(Debug, Clone)]
pub struct NewSegment {
    /// Counts up within one lease.
    pub seq: i64,
    /// Answered lines.
    pub ok: Option<SegmentBlob>,
    /// Every other line.
    pub err: Option<SegmentBlob>,
    /// Which lines of the shard are in it.
    pub done: Bitmap,
    /// How they ended; together as many as `done` marks.
    pub counts: LineCounts,
    /// Tokens they used.
    pub usage: Usage,
    /// Lines of the shard that a model server has been asked and that have no record with this segment either.
    pub asked: Bitmap,
    /// Lines among them that were answered with the answer to an identical line.
    pub deduplicated: i64,
    /// What the ledger is told of them.
    pub ledger: Vec<UsageRecord>,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitResult {
    /// The lines count now.
    Committed {
        /// Whether that was the shard's last line.
        shard_done: bool,
        /// Whether that was the batch's last line.
        batch_done: bool,
    },
    /// An earlier try had arrived.
    AlreadyCommitted,
    /// Somebody else may hold the shard: drop everything about it.
    LeaseLost,
}

/// A committed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// Its shard.
    pub shard: ShardId,
    /// The place of its shard.
    pub ordinal: i64,
    /// The lease it was written under.
    pub epoch: i64,
    /// Counts up within one lease.
    pub seq: i64,
    /// Answered lines.
    pub ok: Option<SegmentBlob>,
    /// Every other line.
    pub err: Option<SegmentBlob>,
    /// Which lines of the shard are in it.
    pub done: Bitmap,
    /// How they ended.
    pub counts: LineCounts,
    /// Tokens they used.
    pub usage: Usage,
    /// Calls among them that may have been made before, as older versions counted them.
    pub redone: i64,
    /// Milliseconds.
    pub created_at_ms: i64,
}

impl Store {
    /// Makes a segment count. Conflict (code `overlapping_lines`) when one of its lines has a record already.
    pub async fn commit_segment(&self, lease: &ShardLease, segment: &NewSegment) -> Result<CommitResult> {
        if segment.counts.recorded() != i64::try_from(segment.done.count()).map_err(Error::internal)? {
            return Err(Error::internal(format!("a segment of {} counts other lines than it marks", lease.shard.id)));
        }
        let mut tx = self.begin().await?;
        let batch = self.lock_batch(&mut tx, &lease.shard.batch_id).await?;
        if self.is_committed(&mut tx, lease, segment.seq).await? {
            return Ok(CommitResult::AlreadyCommitted);
        }
        let runs = |status| matches!(status, BatchStatus::InProgress | BatchStatus::Cancelling);
        let Some(shard) =
            self.lock_leased_shard(&mut tx, lease).await?.filter(|_| batch.is_some_and(|batch| runs(batch.status)))
        else {
            return Ok(CommitResult::LeaseLost);
        };
        if segment.done.len() != shard.done.len() || !segment.done.is_disjoint(&shard.done) {
            return Err(Error::new(Kind::Conflict, "A line of this segment has a record already.")
                .with_code("overlapping_lines"));
        }
        let mut done = shard.done.clone();
        done.union_with(&segment.done);
        let part = |lines: &Bitmap| prorate(shard.tokens, lines.count(), lines.len());
        let tokens = part(&done) - part(&shard.done);
        self.insert_segment(&mut tx, lease, segment, tokens).await?;
        self.mark_done(&mut tx, lease, &done, &segment.asked).await?;
        let batch_done = self.count_lines(&mut tx, lease, segment, tokens).await? && done.is_full();
        self.insert_usage_in(&mut tx, &segment.ledger).await?;
        self.add_model_usage(&mut tx, &lease.shard.batch_id, &segment.ledger).await?;
        self.book_spend(&mut tx, &lease.batch.tenant, &segment.ledger).await?;
        tx.commit().await.map_err(db)?;
        Ok(CommitResult::Committed { shard_done: done.is_full(), batch_done })
    }

    /// The committed segments of a batch by (ordinal, epoch, seq).
    pub async fn segments(&self, batch: &BatchId) -> Result<Vec<SegmentRow>> {
        let rows = self
            .sql(
                "SELECT g.*, s.line_count FROM segments g JOIN shards s ON s.id = g.shard_id WHERE g.batch_id = $1 \
                 ORDER BY g.ordinal, g.epoch, g.seq",
            )
            .bind(batch.as_str())
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        rows.iter().map(segment_row).collect()
    }

    async fn is_committed(&self, tx: &mut Transaction<'static, Any>, lease: &ShardLease, seq: i64) -> Result<bool> {
        let row = self
            .sql("SELECT seq FROM segments WHERE shard_id = $1 AND epoch = $2 AND seq = $3")
            .bind(lease.shard.id.as_str())
            .bind(lease.epoch)
            .bind(seq)
            .fetch_optional(&mut **tx)
            .await
            .map_err(db)?;
        Ok(row.is_some())
    }

    async fn lock_leased_shard(
        &self,
        tx: &mut Transaction<'static, Any>,
        lease: &ShardLease,
    ) -> Result<Option<ShardRow>> {
        let row = self
            .sql("SELECT * FROM shards WHERE id = $1 AND epoch = $2 AND status = 'leased' FOR UPDATE")
            .bind(lease.shard.id.as_str())
            .bind(lease.epoch)
            .fetch_optional(&mut **tx)
            .await
            .map_err(db)?;
        row.as_ref().map(shard_row).transpose()
    }

    async fn insert_segment(
        &self,
        tx: &mut Transaction<'static, Any>,
        lease: &ShardLease,
        segment: &NewSegment,
        tokens: i64,
    ) -> Result<()> {
        let NewSegment { counts, usage, .. } = segment;
        let path = |blob: &Option<SegmentBlob>| blob.as_ref().map(|blob| blob.path.clone());
        let crc32c = |blob: &Option<SegmentBlob>| blob.as_ref().and_then(|blob| blob.crc32c).map(i64::from);
        self.sql(
            "INSERT INTO segments (shard_id, epoch, seq, batch_id, ordinal, ok_blob, err_blob, done, lines_completed, \
             lines_failed, lines_expired, lines_cancelled, input_tokens, output_tokens, cached_tokens, reasoning_tokens, \
             tokens, ok_crc32c, err_crc32c, created_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, now_ms())",
        )
        .bind(lease.shard.id.as_str())
        .bind(lease.epoch)
        .bind(segment.seq)
        .bind(lease.shard.batch_id.as_str())
        .bind(lease.shard.ordinal)
        .bind(path(&segment.ok))
        .bind(path(&segment.err))
        .bind(segment.done.as_bytes())
        .bind(counts.completed)
        .bind(counts.failed)
        .bind(counts.expired)
        .bind(counts.cancelled)
        .bind(usage.input.cast_signed())
        .bind(usage.output.cast_signed())
        .bind(usage.cached.cast_signed())
        .bind(usage.reasoning.cast_signed())
        .bind(tokens)
        .bind(crc32c(&segment.ok))
        .bind(crc32c(&segment.err))
        .execute(&mut **tx)
        .await
        .map_err(db)?;
        Ok(())
    }

    async fn mark_done(
        &self,
        tx: &mut Transaction<'static, Any>,
        lease: &ShardLease,
        done: &Bitmap,
        asked: &Bitmap,
    ) -> Result<()> {
        let end = if done.is_full() { ", status = 'done', owner = NULL, lease_until_ms = 0" } else { "" };
        // Progress clears the record of crashes: a shard becomes suspect only when its workers die before finishing a line.
        // Then it stays so until its worker has found nothing.
        self.sql(&format!(
            "UPDATE shards SET done = $3, asked = $4, asked_epoch = $2, \
             crash_count = CASE WHEN crash_count < $5 THEN 0 ELSE $5 END{end} WHERE id = $1 AND epoch = $2"
        ))
        .bind(lease.shard.id.as_str())
        .bind(lease.epoch)
        .bind(done.as_bytes())
        .bind(asked.as_bytes())
        .bind(SUSPECT_CRASHES)
        .execute(&mut **tx)
        .await
        .map_err(db)?;
        Ok(())
    }

    /// Adds to the totals of the batch and says whether all its lines have a record now.
    async fn count_lines(
        &self,
        tx: &mut Transaction<'static, Any>,
        lease: &ShardLease,
        segment: &NewSegment,
        tokens: i64,
    ) -> Result<bool> {
        let NewSegment { counts, usage, .. } = segment;
        let row = self
            .sql(
                "UPDATE batches SET lines_completed = lines_completed + $2, lines_failed = lines_failed + $3, \
                 lines_expired = lines_expired + $4, lines_cancelled = lines_cancelled + $5, \
                 input_tokens = input_tokens + $6, output_tokens = output_tokens + $7, \
                 cached_tokens = cached_tokens + $8, reasoning_tokens = reasoning_tokens + $9, \
                 tokens_done = tokens_done + $10, deduplicated = deduplicated + $11 WHERE id = $1 \
                 RETURNING total_lines, lines_completed, lines_failed, lines_expired, lines_cancelled",
            )
            .bind(lease.shard.batch_id.as_str())
            .bind(counts.completed)
            .bind(counts.failed)
            .bind(counts.expired)
            .bind(counts.cancelled)
            .bind(usage.input.cast_signed())
            .bind(usage.output.cast_signed())
            .bind(usage.cached.cast_signed())
            .bind(usage.reasoning.cast_signed())
            .bind(tokens)
            .bind(segment.deduplicated)
            .fetch_one(&mut **tx)
            .await
            .map_err(db)?;
        let columns = Columns(&row);
        let (recorded, total) = (columns.counts()?.recorded(), columns.int("total_lines")?);
        if let Some(percent) = quarter_reached(recorded - counts.recorded(), recorded, total) {
            self.record_event(tx, &lease.shard.batch_id, BatchEventKind::Progress, percent).await?;
        }
        Ok(recorded == total)
    }
}

pub(crate) fn segment_row(row: &AnyRow) -> Result<SegmentRow> {
    let columns = Columns(row);
    let lines = usize::try_from(columns.int("line_count")?).map_err(Error::internal)?;
    Ok(SegmentRow {
        shard: ShardId::from_string(columns.text("shard_id")?),
        ordinal: columns.int("ordinal")?,
        epoch: columns.int("epoch")?,
        seq: columns.int("seq")?,
        ok: segment_blob(&columns, "ok")?,
        err: segment_blob(&columns, "err")?,
        done: Bitmap::from_bytes(lines, &columns.blob("done")?),
        counts: columns.counts()?,
        usage: columns.usage()?,
        redone: columns.int("redone")?,
        created_at_ms: columns.int("created_at_ms")?,
    })
}

fn segment_blob(columns: &Columns<'_>, side: &str) -> Result<Option<SegmentBlob>> {
    let crc32c = columns.opt_crc32c(&format!("{side}_crc32c"))?;
    Ok(columns.opt_text(&format!("{side}_blob"))?.map(|path| SegmentBlob { path, crc32c }))
}
