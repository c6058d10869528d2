//! The next shard: the one place where the order of all batch work is decided, at the moment a worker has a slot for it.
//! Whoever chooses holds the clock of shares, so that two workers never decide from the same state.
//!
//! Lock order: clock, batch, shard, share.

use crate::{
    ShardLease, Store,
    row::{Columns, db},
};
use domain::{
    BatchId, LINES_A_SHARD, Priority, Result, ShardId, TenantId, WorkerId,
    fair::{self, Contender, Progress, Slot, prorate},
};
use sqlx::{Any, Transaction, any::AnyRow};

/// Lines of such a batch may begin.
pub(crate) const BATCH_OPEN: &str = "b.paused_at_ms IS NULL AND (b.not_before_ms IS NULL OR b.not_before_ms <= now_ms()) \
    AND (b.daily_start_min IS NULL OR (now_ms() / 60000 - b.daily_start_min) % 1440 \
    < (b.daily_end_min - b.daily_start_min + 1440) % 1440)";

/// Shards of such a batch may begin, as far as it has some and its cap allows.
pub(crate) const BATCH_RUNS: &str = "b.status = 'in_progress' AND b.expires_at_ms > now_ms()";

/// `domain::shards_of_cap` of a batch that has one.
pub(crate) const SHARDS_OF_CAP: &str = "((b.max_concurrency + 63) / 64)";
const _: () = assert!(LINES_A_SHARD == 64);

/// A batch that runs has a shard that could begin.
const HAS_SHARD: &str = "EXISTS (SELECT 1 FROM shards x WHERE x.batch_id = b.id AND x.status = 'runnable')";

struct Candidate {
    tenant: TenantId,
    batch: BatchId,
    contender: Contender,
}

impl Store {
    /// Claims the shard whose turn it is: of the tenant furthest behind its share, its first batch by priority and deadline, that
    /// one's first shard. A tenant has at most `tenant_shards` at work, if nothing else is set for it. `None`: nothing may begin.
    pub async fn claim_next_shard(
        &self,
        worker: &WorkerId,
        lease_ms: i64,
        tenant_shards: Option<i64>,
    ) -> Result<Option<ShardLease>> {
        // Idle workers look often: that must cost neither a lock nor the one writer.
        let waiting =
            self.sql("SELECT 1 AS one FROM shards WHERE status = 'runnable' ORDER BY batch_id, ordinal LIMIT 1");
        if waiting.fetch_optional(self.reader()).await.map_err(db)?.is_none() {
            return Ok(None);
        }
        let mut tx = self.begin().await?;
        let clock = self.lock_clock(&mut tx).await?;
        let candidates = self.candidates(&mut tx, tenant_shards).await?;
        let contenders: Vec<_> = candidates.iter().map(|candidate| candidate.contender).collect();
        let Some(at) = fair::next(clock, &contenders) else { return Ok(None) };
        let Candidate { tenant, batch, contender } = &candidates[at];
        // None when its owner cancelled the batch just now: the next look finds another.
        let Some(lease) = self.take_first(&mut tx, batch, worker, lease_ms).await? else { return Ok(None) };
        self.charge(&mut tx, tenant, contender.slot(clock, expected_tokens(&lease, &contender.head))).await?;
        tx.commit().await.map_err(db)?;
        Ok(Some(lease))
    }

    async fn lock_clock(&self, tx: &mut Transaction<'static, Any>) -> Result<i64> {
        let row = self.sql("SELECT start FROM share_clock WHERE id = 1 FOR UPDATE").fetch_one(&mut **tx).await;
        Columns(&row.map_err(db)?).int("start")
    }

    /// Each tenant that has work, with the batch that is its next.
    async fn candidates(
        &self,
        tx: &mut Transaction<'static, Any>,
        tenant_shards: Option<i64>,
    ) -> Result<Vec<Candidate>> {
        let rows = self.sql(&candidates_sql()).bind(tenant_shards).fetch_all(&mut **tx).await.map_err(db)?;
        rows.iter().map(candidate).collect()
    }

    async fn take_first(
        &self,
        tx: &mut Transaction<'static, Any>,
        batch: &BatchId,
        worker: &WorkerId,
        lease_ms: i64,
    ) -> Result<Option<ShardLease>> {
        let first = self
            .sql("SELECT id FROM shards WHERE batch_id = $1 AND status = 'runnable' ORDER BY ordinal LIMIT 1")
            .bind(batch.as_str())
            .fetch_optional(&mut **tx)
            .await
            .map_err(db)?;
        let Some(first) = first else { return Ok(None) };
        let shard = ShardId::from_string(Columns(&first).text("id")?);
        self.take_shard(tx, (batch, &shard), worker, lease_ms).await
    }

    async fn charge(&self, tx: &mut Transaction<'static, Any>, tenant: &TenantId, slot: Slot) -> Result<()> {
        self.sql(
            "INSERT INTO shares (tenant_id, finish) VALUES ($1, $2) \
             ON CONFLICT (tenant_id) DO UPDATE SET finish = excluded.finish",
        )
        .bind(tenant.as_str())
        .bind(slot.finish)
        .execute(&mut **tx)
        .await
        .map_err(db)?;
        let clock = self.sql("UPDATE share_clock SET start = $1 WHERE id = 1").bind(slot.start);
        clock.execute(&mut **tx).await.map_err(db).map(drop)
    }
}

fn candidates_sql() -> String {
    format!(
        "SELECT h.*, b.priority, b.tokens, b.tokens_done, b.input_tokens + b.output_tokens AS tokens_used, \
         b.expires_at_ms - now_ms() AS left_ms, b.expires_at_ms - COALESCE(b.not_before_ms, b.created_at_ms) AS window_ms \
         FROM (SELECT t.id AS tenant_id, t.batch_weight, COALESCE(t.batch_shards, CAST($1 AS BIGINT)) AS batch_shards, \
         COALESCE(s.finish, 0) AS finish, COALESCE(f.shards, 0) AS in_flight, \
         (SELECT b.id FROM batches b WHERE b.tenant_id = t.id AND {BATCH_RUNS} AND {BATCH_OPEN} AND {HAS_SHARD} \
         AND (b.max_concurrency IS NULL OR {SHARDS_OF_CAP} > \
         (SELECT count(*) FROM shards x WHERE x.batch_id = b.id AND x.status = 'leased')) \
         ORDER BY b.priority, b.expires_at_ms, b.id LIMIT 1) AS batch_id \
         FROM (SELECT DISTINCT tenant_id FROM batches WHERE status = 'in_progress' AND paused_at_ms IS NULL) w \
         JOIN tenants t ON t.id = w.tenant_id LEFT JOIN shares s ON s.tenant_id = t.id \
         LEFT JOIN (SELECT y.tenant_id, count(*) AS shards FROM shards x JOIN batches y ON y.id = x.batch_id \
         WHERE x.status = 'leased' GROUP BY y.tenant_id) f ON f.tenant_id = t.id) h JOIN batches b ON b.id = h.batch_id"
    )
}

fn candidate(row: &AnyRow) -> Result<Candidate> {
    let columns = Columns(row);
    let head = Progress {
        priority: columns.rank("priority", Priority::from_rank)?,
        tokens: columns.int("tokens")?,
        tokens_done: columns.int("tokens_done")?,
        tokens_used: columns.int("tokens_used")?,
        left_ms: columns.int("left_ms")?,
        window_ms: columns.int("window_ms")?,
    };
    let contender = Contender {
        weight: columns.int("batch_weight")?,
        finish: columns.int("finish")?,
        in_flight: columns.int("in_flight")?,
        cap: columns.opt_int("batch_shards")?,
        head,
    };
    let tenant = TenantId::from_string(columns.text("tenant_id")?);
    Ok(Candidate { tenant, batch: BatchId::from_string(columns.text("batch_id")?), contender })
}

/// What the lines of the shard without a record are expected to use; each at least a token.
fn expected_tokens(lease: &ShardLease, progress: &Progress) -> i64 {
    let (done, lines) = (lease.shard.done.count(), lease.shard.done.len());
    let tokens = lease.shard.tokens - prorate(lease.shard.tokens, done, lines);
    progress.expect(tokens).max(i64::try_from(lines - done).unwrap_or(i64::MAX))
}
