//! Finding work that nobody was told about: lapsed leases, lost doorbells, steps a dead worker did not take.
//! Any number of processes may sweep at once; each piece of work is found by one of them.

use crate::{
    Store,
    dispatch::{BATCH_OPEN, BATCH_RUNS},
    leases::CRASHED,
    row::{Columns, db},
};
use domain::{BatchStatus, Pointer, PointerKind, Result};
use sqlx::any::AnyRow;

/// Work rung longer ago than this, and still there, is rung again.
const RING_AGAIN_MS: i64 = 15_000;
/// At most this many lapsed shards, and as many batches, in one sweep.
const SWEEP_LIMIT: i64 = 500;
/// So many shards that wait are rung in one sweep. Any bell wakes a worker for whatever is next, and those that work look by
/// themselves: more bells would only wait.
const WAKE_LIMIT: i64 = 32;

/// Batches with something to do and no live lease.
const BATCH_WAITS: &str = "b.lease_until_ms <= now_ms() AND (b.status IN ('validating', 'finalizing') \
    OR ((b.status = 'cancelling' OR (b.status = 'in_progress' AND b.expires_at_ms <= now_ms())) AND NOT EXISTS \
    (SELECT 1 FROM shards x WHERE x.batch_id = b.id AND x.status = 'leased' AND x.lease_until_ms > now_ms())) \
    OR (b.status = 'in_progress' AND b.planned_lines < b.total_lines AND NOT EXISTS \
    (SELECT 1 FROM shards x WHERE x.batch_id = b.id AND x.status <> 'done')))";

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// To be rung.
    pub pointers: Vec<Pointer>,
}

impl Store {
    /// Frees shards whose lease ended more than `grace_ms` ago, and returns everything that should be rung now.
    /// Records which batches are at risk to miss their window.
    pub async fn sweep(&self, grace_ms: i64) -> Result<Swept> {
        let mut pointers = self.sweep_lapsed(grace_ms).await?;
        pointers.extend(self.sweep_unrung().await?);
        self.finalize_done().await?;
        self.record_risks().await?;
        pointers.extend(self.sweep_batches().await?);
        Ok(Swept { pointers })
    }

    /// Batches that wait for a worker, the closest deadline first; for polling.
    pub async fn waiting_batches(&self, limit: i64) -> Result<Vec<Pointer>> {
        self.batches_that(BATCH_WAITS, limit).await
    }

    /// A batch that waits to be judged or ended. Cheap, so that nobody need begin a shard before having looked.
    pub async fn unsettled_batch(&self) -> Result<Option<Pointer>> {
        let unsettled = format!("b.status IN ('validating', 'finalizing', 'cancelling') AND {BATCH_WAITS}");
        Ok(self.batches_that(&unsettled, 1).await?.pop())
    }

    async fn batches_that(&self, condition: &str, limit: i64) -> Result<Vec<Pointer>> {
        let rows = self
            .sql(&format!(
                "SELECT b.id, b.status, CASE WHEN b.expires_at_ms <= now_ms() THEN 1 ELSE 0 END AS due FROM batches b \
                 WHERE {condition} ORDER BY b.expires_at_ms LIMIT $1"
            ))
            .bind(limit)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        rows.iter().map(batch_pointer).collect()
    }

    async fn sweep_lapsed(&self, grace_ms: i64) -> Result<Vec<Pointer>> {
        let rows = self
            .sql(&format!(
                "UPDATE shards SET status = 'runnable', owner = NULL, lease_until_ms = 0, crash_count = crash_count + {CRASHED}, \
                 crashes = crashes + 1, rung_at_ms = now_ms() WHERE status = 'leased' AND lease_until_ms + $1 <= now_ms() AND id IN \
                 (SELECT s.id FROM shards s WHERE s.status = 'leased' AND s.lease_until_ms + $1 <= now_ms() \
                 ORDER BY s.lease_until_ms LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id"
            ))
            .bind(grace_ms)
            .bind(SWEEP_LIMIT)
            .fetch_all(self.writer())
            .await
            .map_err(db)?;
        rows.iter().map(shard_pointer).collect()
    }

    async fn sweep_unrung(&self) -> Result<Vec<Pointer>> {
        let rows = self
            .sql(&format!(
                "UPDATE shards SET rung_at_ms = now_ms() WHERE id IN (SELECT s.id FROM shards s JOIN batches b \
                 ON b.id = s.batch_id WHERE s.status = 'runnable' AND s.rung_at_ms <= now_ms() - $1 AND {BATCH_RUNS} \
                 AND {BATCH_OPEN} ORDER BY s.rung_at_ms LIMIT $2 FOR UPDATE OF s SKIP LOCKED) RETURNING id"
            ))
            .bind(RING_AGAIN_MS)
            .bind(WAKE_LIMIT)
            .fetch_all(self.writer())
            .await
            .map_err(db)?;
        rows.iter().map(shard_pointer).collect()
    }

    /// The step a worker that died right after the last commit did not take.
    async fn finalize_done(&self) -> Result<()> {
        self.sql(
            "UPDATE batches SET status = 'finalizing', finalizing_at_ms = now_ms(), owner = NULL, lease_until_ms = 0, \
             rung_at_ms = 0 WHERE status = 'in_progress' AND planned_lines = total_lines \
             AND NOT EXISTS (SELECT 1 FROM shards x WHERE x.batch_id = batches.id AND x.status <> 'done')",
        )
        .execute(self.writer())
        .await
        .map_err(db)?;
        Ok(())
    }

    async fn sweep_batches(&self) -> Result<Vec<Pointer>> {
        let rows = self
            .sql(&format!(
                "UPDATE batches SET rung_at_ms = now_ms() WHERE id IN (SELECT s.id FROM batches s WHERE EXISTS \
                 (SELECT 1 FROM batches b WHERE b.id = s.id AND {BATCH_WAITS}) AND s.rung_at_ms <= now_ms() - $1 \
                 AND s.status IN ('validating', 'in_progress', 'finalizing', 'cancelling') \
                 ORDER BY s.expires_at_ms LIMIT $2 FOR UPDATE OF s SKIP LOCKED) \
                 RETURNING id, status, CASE WHEN expires_at_ms <= now_ms() THEN 1 ELSE 0 END AS due"
            ))
            .bind(RING_AGAIN_MS)
            .bind(SWEEP_LIMIT)
            .fetch_all(self.writer())
            .await
            .map_err(db)?;
        rows.iter().map(batch_pointer).collect()
    }
}

fn shard_pointer(row: &AnyRow) -> Result<Pointer> {
    Ok(Pointer::new(PointerKind::Shard, &Columns(row).text("id")?))
}

/// Validating, and planning more of a batch that runs, is one kind of work; ending it is the other.
fn batch_pointer(row: &AnyRow) -> Result<Pointer> {
    let columns = Columns(row);
    let kind = match columns.word("status", BatchStatus::parse)? {
        BatchStatus::Validating => PointerKind::Validate,
        BatchStatus::InProgress if columns.int("due")? == 0 => PointerKind::Validate,
        _ => PointerKind::Finalize,
    };
    Ok(Pointer::new(kind, &columns.text("id")?))
}
