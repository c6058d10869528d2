//! Claims, heartbeats and releases. A claim raises the epoch; every later write names the epoch it was made under
//! and changes nothing once somebody else has claimed.
//!
//! Lock order is batch, then shard: whoever needs both takes the batch row first.

use crate::{
    BatchRow, ShardRow, Store,
    batches::batch_row,
    dispatch::{BATCH_OPEN, SHARDS_OF_CAP},
    plan::shard_row,
    row::{Columns, db},
};
use domain::{BatchId, BatchStatus, Bitmap, Error, Result, ShardId, WorkerId};
use sqlx::{Any, Transaction};

/// How long after the window closed calls in flight may still be waited for.
const GRACE_MS: i64 = 60_000;

/// So many crashes make a shard suspect of killing its workers. From then on its worker tells before it asks, see
/// [`Store::tell_trial`].
pub const SUSPECT_CRASHES: i64 = 2;

/// 1 if a lease that lapsed speaks against the lines of its shard. A suspect shard whose worker has told of no line had none at
/// work: something else in the same process may have ended it.
pub(crate) const CRASHED: &str = "CASE WHEN trial_epoch = epoch OR crash_count < 2 THEN 1 ELSE 0 END";
const _: () = assert!(SUSPECT_CRASHES == 2);

/// The right to validate, plan or end a batch.
#[derive(Debug, Clone)]
pub struct BatchLease {
    /// The batch as it was when claimed.
    pub batch: BatchRow,
    /// The fencing number.
    pub epoch: i64,
    /// Who holds it.
    pub owner: WorkerId,
}

/// The right to run the lines of a shard.
#[derive(Debug, Clone)]
pub struct ShardLease {
    /// The shard as it was when claimed.
    pub shard: ShardRow,
    /// Its batch as it was when claimed.
    pub batch: BatchRow,
    /// The fencing number.
    pub epoch: i64,
    /// Who holds it.
    pub owner: WorkerId,
}

/// What a heartbeat found out about one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardPulse {
    /// The shard.
    pub id: ShardId,
    /// Whether the lease still holds and has been extended.
    pub alive: bool,
    /// Where its batch is; anything but `in_progress` means stop.
    pub batch_status: BatchStatus,
    /// Whether the window of its batch has closed.
    pub due: bool,
    /// Milliseconds until it closes.
    pub left_ms: i64,
    /// Whether no line of the shard may begin now: its batch is paused, it is not its time, or more shards of it are at work than
    /// its cap allows since it was lowered.
    pub held: bool,
    /// Lines of its batch that may be in flight at once, over all workers.
    pub max_concurrency: Option<i64>,
}

impl Store {
    /// Claims a batch for whatever is next: validate, plan more shards, or end it. `None` when there is nothing to do
    /// or somebody else does it. A batch that is cancelled or due can only be claimed once none of its shards runs.
    pub async fn claim_batch(&self, id: &BatchId, worker: &WorkerId, lease_ms: i64) -> Result<Option<BatchLease>> {
        let mut tx = self.begin().await?;
        let Some(batch) = self.lock_batch(&mut tx, id).await? else { return Ok(None) };
        let held = batch.lease_until_ms > batch.read_at_ms;
        let claimable = match batch.status {
            BatchStatus::Validating | BatchStatus::Finalizing => true,
            BatchStatus::InProgress if batch.is_due() => self.is_quiet(&mut tx, id).await?,
            BatchStatus::InProgress => batch.planned_lines < batch.total_lines,
            BatchStatus::Cancelling => self.is_quiet(&mut tx, id).await?,
            _ => false,
        };
        if held || !claimable {
            return Ok(None);
        }
        let row = self
            .sql(
                "UPDATE batches SET owner = $2, epoch = epoch + 1, lease_until_ms = now_ms() + $3, rung_at_ms = 0 \
                 WHERE id = $1 RETURNING *, now_ms() AS read_at_ms",
            )
            .bind(id.as_str())
            .bind(worker.as_str())
            .bind(lease_ms)
            .fetch_one(&mut *tx)
            .await
            .map_err(db)?;
        tx.commit().await.map_err(db)?;
        let batch = batch_row(&row)?;
        Ok(Some(BatchLease { epoch: batch.epoch, batch, owner: worker.clone() }))
    }

    /// Extends a batch lease. `false`: it is lost.
    pub async fn heartbeat_batch(&self, lease: &BatchLease, lease_ms: i64) -> Result<bool> {
        let statement = self
            .sql("UPDATE batches SET lease_until_ms = now_ms() + $3 WHERE id = $1 AND epoch = $2 AND owner IS NOT NULL")
            .bind(lease.batch.id.as_str().to_owned())
            .bind(lease.epoch)
            .bind(lease_ms);
        self.changed(statement).await
    }

    /// Gives a batch back unfinished; the next sweep rings it.
    pub async fn release_batch(&self, lease: &BatchLease) -> Result<bool> {
        let statement = self
            .sql("UPDATE batches SET owner = NULL, lease_until_ms = 0, rung_at_ms = 0 WHERE id = $1 AND epoch = $2")
            .bind(lease.batch.id.as_str().to_owned())
            .bind(lease.epoch);
        self.changed(statement).await
    }

    /// Claims one shard out of turn: a runnable one, or one whose lease has ended. `None`: done, held, or its batch does not run.
    pub async fn claim_shard(&self, id: &ShardId, worker: &WorkerId, lease_ms: i64) -> Result<Option<ShardLease>> {
        // Most stale doorbells end here, without a lock.
        let free = self
            .sql(
                "SELECT batch_id FROM shards WHERE id = $1 \
                 AND (status = 'runnable' OR (status = 'leased' AND lease_until_ms <= now_ms()))",
            )
            .bind(id.as_str())
            .fetch_optional(self.reader())
            .await
            .map_err(db)?;
        let Some(free) = free else { return Ok(None) };
        let batch_id = BatchId::from_string(Columns(&free).text("batch_id")?);
        let mut tx = self.begin().await?;
        let lease = self.take_shard(&mut tx, (&batch_id, id), worker, lease_ms).await?;
        tx.commit().await.map_err(db)?;
        Ok(lease)
    }

    /// Claims a shard of a batch within a transaction.
    pub(crate) async fn take_shard(
        &self,
        tx: &mut Transaction<'static, Any>,
        (batch, shard): (&BatchId, &ShardId),
        worker: &WorkerId,
        lease_ms: i64,
    ) -> Result<Option<ShardLease>> {
        let batch = self.lock_batch(tx, batch).await?;
        let Some(batch) = batch.filter(|batch| batch.status == BatchStatus::InProgress && !batch.is_due()) else {
            return Ok(None);
        };
        let row = self
            .sql(&format!(
                "UPDATE shards SET crash_count = crash_count + CASE WHEN status = 'leased' THEN {CRASHED} ELSE 0 END, \
                 crashes = crashes + CASE WHEN status = 'leased' THEN 1 ELSE 0 END, \
                 status = 'leased', owner = $2, epoch = epoch + 1, lease_until_ms = now_ms() + $3 WHERE id = $1 \
                 AND (status = 'runnable' OR (status = 'leased' AND lease_until_ms <= now_ms())) RETURNING *"
            ))
            .bind(shard.as_str())
            .bind(worker.as_str())
            .bind(lease_ms)
            .fetch_optional(&mut **tx)
            .await
            .map_err(db)?;
        let Some(row) = row else { return Ok(None) };
        let shard = shard_row(&row)?;
        if Columns(&row).int("asked_epoch")? == shard.epoch - 1 {
            self.count_redone(tx, &shard).await?;
        }
        Ok(Some(ShardLease { epoch: shard.epoch, shard, batch, owner: worker.clone() }))
    }

    /// Counts what the lease before had asked and left without a record.
    async fn count_redone(&self, tx: &mut Transaction<'static, Any>, shard: &ShardRow) -> Result<()> {
        let Some(mut lost) = shard.asked.clone() else { return Ok(()) };
        lost.subtract(&shard.done);
        let count = i64::try_from(lost.count()).map_err(Error::internal)?;
        if count == 0 {
            return Ok(());
        }
        for (statement, id) in [
            ("UPDATE batches SET redone_requests = redone_requests + $2 WHERE id = $1", shard.batch_id.as_str()),
            ("UPDATE shards SET redone = redone + $2 WHERE id = $1", shard.id.as_str()),
        ] {
            self.sql(statement).bind(id).bind(count).execute(&mut **tx).await.map_err(db)?;
        }
        Ok(())
    }

    /// Tells which lines a model server has been asked and have no record; checkpoints tell the same. `false`: the lease is lost.
    pub async fn tell_asked(&self, lease: &ShardLease, asked: &Bitmap) -> Result<bool> {
        let statement = self
            .sql("UPDATE shards SET asked = $3, asked_epoch = $2 WHERE id = $1 AND epoch = $2 AND status = 'leased'")
            .bind(lease.shard.id.as_str().to_owned())
            .bind(lease.epoch)
            .bind(asked.as_bytes().to_vec());
        self.changed(statement).await
    }

    /// Tells, before any of them is asked, which lines of a suspect shard will be; nothing else of it is in flight. Crashes count
    /// anew unless they are the same lines as in the lease before. `false`: the lease is lost.
    pub async fn tell_trial(&self, lease: &ShardLease, trial: &Bitmap) -> Result<bool> {
        let statement = self
            .sql(
                "UPDATE shards SET crash_count = CASE WHEN trial = $3 THEN crash_count ELSE $4 END, trial = $3, \
                 trial_epoch = $2 WHERE id = $1 AND epoch = $2 AND status = 'leased'",
            )
            .bind(lease.shard.id.as_str().to_owned())
            .bind(lease.epoch)
            .bind(trial.as_bytes().to_vec())
            .bind(SUSPECT_CRASHES);
        self.changed(statement).await
    }

    /// Extends the leases of a worker in one statement, then says of each whether it holds. A lease can't be extended
    /// past a minute after the window of its batch.
    pub async fn heartbeat(
        &self,
        worker: &WorkerId,
        lease_ms: i64,
        shards: &[(ShardId, i64)],
    ) -> Result<Vec<ShardPulse>> {
        if shards.is_empty() {
            return Ok(Vec::new());
        }
        let pairs: Vec<_> =
            (0..shards.len()).map(|at| format!("(id = ${} AND epoch = ${})", 2 * at + 4, 2 * at + 5)).collect();
        let mut update = self
            .sql(&format!(
                "UPDATE shards SET lease_until_ms = now_ms() + $1 WHERE owner = $2 AND status = 'leased' AND ({}) AND EXISTS \
                 (SELECT 1 FROM batches b WHERE b.id = shards.batch_id AND b.expires_at_ms + $3 > now_ms()) RETURNING id",
                pairs.join(" OR ")
            ))
            .bind(lease_ms)
            .bind(worker.as_str())
            .bind(GRACE_MS);
        for (id, epoch) in shards {
            update = update.bind(id.as_str()).bind(*epoch);
        }
        let rows = update.fetch_all(self.writer()).await.map_err(db)?;
        let alive = rows.iter().map(|row| Columns(row).text("id")).collect::<Result<Vec<_>>>()?;
        self.pulses(shards, &alive).await
    }

    /// Tells that no line of a suspect shard did it. `false`: the lease is lost.
    pub async fn end_trial(&self, lease: &ShardLease) -> Result<bool> {
        let statement = self
            .sql("UPDATE shards SET crash_count = 0 WHERE id = $1 AND epoch = $2 AND status = 'leased'")
            .bind(lease.shard.id.as_str().to_owned())
            .bind(lease.epoch);
        self.changed(statement).await
    }

    /// Gives a shard back; the next sweep rings it. `asked`, if known, are the lines that were asked and have no record. `false`:
    /// the lease was lost already.
    pub async fn release_shard(&self, lease: &ShardLease, crashed: bool, asked: Option<&Bitmap>) -> Result<bool> {
        let told = if asked.is_some() { ", asked = $4, asked_epoch = $2" } else { "" };
        let mut statement = self
            .sql(&format!(
                "UPDATE shards SET status = 'runnable', owner = NULL, lease_until_ms = 0, rung_at_ms = 0, \
                 crash_count = crash_count + $3, crashes = crashes + $3{told} \
                 WHERE id = $1 AND epoch = $2 AND status = 'leased'"
            ))
            .bind(lease.shard.id.as_str().to_owned())
            .bind(lease.epoch)
            .bind(i64::from(crashed));
        if let Some(asked) = asked {
            statement = statement.bind(asked.as_bytes().to_vec());
        }
        self.changed(statement).await
    }

    /// Reads a batch and keeps everybody else from changing it until the transaction ends.
    pub(crate) async fn lock_batch(
        &self,
        tx: &mut Transaction<'static, Any>,
        id: &BatchId,
    ) -> Result<Option<BatchRow>> {
        let row = self
            .sql("SELECT *, now_ms() AS read_at_ms FROM batches WHERE id = $1 FOR UPDATE")
            .bind(id.as_str())
            .fetch_optional(&mut **tx)
            .await
            .map_err(db)?;
        row.as_ref().map(batch_row).transpose()
    }

    /// Whether no shard of a locked batch runs. Lapsed leases are fenced here, so that none can write afterwards.
    async fn is_quiet(&self, tx: &mut Transaction<'static, Any>, id: &BatchId) -> Result<bool> {
        self.sql(
            "UPDATE shards SET status = 'runnable', owner = NULL, epoch = epoch + 1, lease_until_ms = 0 \
             WHERE batch_id = $1 AND status = 'leased' AND lease_until_ms <= now_ms()",
        )
        .bind(id.as_str())
        .execute(&mut **tx)
        .await
        .map_err(db)?;
        let running =
            self.sql("SELECT id FROM shards WHERE batch_id = $1 AND status = 'leased' LIMIT 1").bind(id.as_str());
        Ok(running.fetch_optional(&mut **tx).await.map_err(db)?.is_none())
    }

    async fn pulses(&self, shards: &[(ShardId, i64)], alive: &[String]) -> Result<Vec<ShardPulse>> {
        let places: Vec<_> = (1..=shards.len()).map(|at| format!("${at}")).collect();
        let mut select = self.sql(&format!(
            "SELECT s.id, b.status, b.expires_at_ms - now_ms() AS left_ms, b.max_concurrency, \
             CASE WHEN {BATCH_OPEN} AND (b.max_concurrency IS NULL OR {SHARDS_OF_CAP} > (SELECT count(*) FROM shards x \
             WHERE x.batch_id = b.id AND x.status = 'leased' AND x.ordinal < s.ordinal)) THEN 0 ELSE 1 END AS held \
             FROM shards s JOIN batches b ON b.id = s.batch_id WHERE s.id IN ({})",
            places.join(", ")
        ));
        for (id, _) in shards {
            select = select.bind(id.as_str());
        }
        let rows = select.fetch_all(self.writer()).await.map_err(db)?;
        let pulse = |row| {
            let columns = Columns(row);
            let id = columns.text("id")?;
            Ok(ShardPulse {
                alive: alive.contains(&id),
                id: ShardId::from_string(id),
                batch_status: columns.word("status", BatchStatus::parse)?,
                due: columns.int("left_ms")? <= 0,
                left_ms: columns.int("left_ms")?,
                held: columns.int("held")? != 0,
                max_concurrency: columns.opt_int("max_concurrency")?,
            })
        };
        rows.iter().map(pulse).collect()
    }
}
