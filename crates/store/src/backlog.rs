//! How much batch work waits, and how fast the workers have been.

use crate::{
    Store,
    admission::TOKENS_LEFT,
    dispatch::{BATCH_OPEN, BATCH_RUNS},
    row::{Columns, db},
};
use domain::{Priority, Result, TenantId};
use sqlx::any::AnyRow;

const MINUTE_MS: i64 = 60_000;

/// Work that waits, over all tenants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Estimated tokens of lines without a record, in batches whose lines may begin now.
    pub runnable_tokens: i64,
    /// Shards that workers hold.
    pub leased_shards: i64,
    /// How long the oldest of those batches has been able to run.
    pub oldest_ms: i64,
    /// Batches that wait to be judged or ended, or are being so.
    pub unsettled_batches: i64,
}

/// What one tenant's batches still have to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantWork {
    /// Whose they are.
    pub tenant: TenantId,
    /// Its part of the workers.
    pub weight: i64,
    /// Estimated tokens of lines without a record.
    pub tokens: i64,
}

impl Store {
    /// What waits now.
    pub async fn backlog(&self) -> Result<Backlog> {
        let row = self
            .sql(&format!(
                "SELECT CAST(COALESCE(SUM({TOKENS_LEFT}), 0) AS BIGINT) AS tokens, \
                 (SELECT count(*) FROM shards WHERE status = 'leased') AS shards, \
                 (SELECT count(*) FROM batches WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling') \
                 AND (status <> 'in_progress' OR expires_at_ms <= now_ms())) AS unsettled, \
                 COALESCE(now_ms() - MIN(CASE WHEN COALESCE(b.not_before_ms, 0) > b.created_at_ms THEN b.not_before_ms \
                 ELSE b.created_at_ms END), 0) AS oldest_ms FROM batches b WHERE {BATCH_RUNS} AND {BATCH_OPEN}"
            ))
            .fetch_one(self.reader())
            .await
            .map_err(db)?;
        let columns = Columns(&row);
        Ok(Backlog {
            runnable_tokens: columns.int("tokens")?,
            leased_shards: columns.int("shards")?,
            oldest_ms: columns.int("oldest_ms")?,
            unsettled_batches: columns.int("unsettled")?,
        })
    }

    /// The work of each tenant that may run now or is about to, but of `tenant` only what goes before a batch of `priority` that
    /// ends in `window_secs`.
    pub async fn work_before(
        &self,
        tenant: &TenantId,
        priority: Priority,
        window_secs: i64,
    ) -> Result<Vec<TenantWork>> {
        let rows = self
            .sql(&format!(
                "SELECT b.tenant_id, t.batch_weight, CAST(SUM({TOKENS_LEFT}) AS BIGINT) AS tokens \
                 FROM batches b JOIN tenants t ON t.id = b.tenant_id WHERE b.status IN ('validating', 'in_progress') \
                 AND b.expires_at_ms > now_ms() AND {BATCH_OPEN} AND (b.tenant_id <> $1 OR b.priority < $2 \
                 OR (b.priority = $2 AND b.expires_at_ms <= now_ms() + $3)) GROUP BY b.tenant_id, t.batch_weight"
            ))
            .bind(tenant.as_str())
            .bind(priority.rank())
            .bind(window_secs.saturating_mul(1_000))
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        let work = |row: &AnyRow| {
            let columns = Columns(row);
            let tenant = TenantId::from_string(columns.text("tenant_id")?);
            Ok(TenantWork { tenant, weight: columns.int("batch_weight")?, tokens: columns.int("tokens")? })
        };
        rows.iter().map(work).collect()
    }

    /// Estimated tokens of the lines that got their record in each of the last `minutes` whole minutes; idle minutes are left out.
    pub async fn throughput(&self, minutes: i64) -> Result<Vec<i64>> {
        // A clock within the statement would keep PostgreSQL from its index.
        let now_min = self.now_ms().await? / MINUTE_MS;
        let rows = self
            .sql(
                "SELECT created_at_ms / 60000 AS minute, CAST(SUM(tokens) AS BIGINT) AS tokens FROM segments \
                 WHERE created_at_ms >= $1 AND created_at_ms < $2 GROUP BY created_at_ms / 60000",
            )
            .bind((now_min - minutes) * MINUTE_MS)
            .bind(now_min * MINUTE_MS)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        rows.iter().map(|row| Columns(row).int("tokens")).collect()
    }
}
