//! Reading limits.

use crate::{
    Store,
    limit_leases::{WINDOW_MS, slot},
    row::{Columns, db},
};
use domain::{Limit, LimitId, LimitKind, Money, Result, SubjectKind, TenantId, UsageRecord};
use sqlx::{Any, Transaction, any::AnyRow};

/// How much of a limit is used, within its window or period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitState {
    /// Booked as used.
    pub used: i64,
    /// Of that, what replicas that died may have used: they reported nothing.
    pub lost: i64,
    /// What replicas hold, and what runs on them.
    pub leased: i64,
}

impl Store {
    /// How much of `limit` is used now.
    pub async fn limit_state(&self, limit: &Limit) -> Result<LimitState> {
        if limit.kind == LimitKind::EnqueuedTokens {
            let used = self.enqueued_tokens(&limit.tenant, limit.model.as_deref()).await?;
            return Ok(LimitState { used, ..LimitState::default() });
        }
        let now = self.now_ms().await?;
        let since = if limit.kind.is_rate() { now - WINDOW_MS + 1 } else { slot(limit.kind, now) };
        let row = self
            .sql(
                "SELECT CAST(coalesce(sum(used), 0) AS BIGINT) AS used, CAST(coalesce(sum(lost), 0) AS BIGINT) AS lost, \
                 (SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM limit_leases \
                 WHERE limit_id = $1 AND amount > 0) AS leased \
                 FROM limit_uses WHERE limit_id = $1 AND slot_ms >= $2",
            )
            .bind(limit.id.as_str())
            .bind(since)
            .fetch_one(self.reader())
            .await
            .map_err(db)?;
        let columns = Columns(&row);
        Ok(LimitState { used: columns.int("used")?, lost: columns.int("lost")?, leased: columns.int("leased")? })
    }

    /// Every limit of every tenant that binds requests, for a gateway's snapshot.
    pub async fn all_limits(&self) -> Result<Vec<Limit>> {
        let rows = self
            .sql("SELECT * FROM limits WHERE kind <> 'enqueued_tokens' ORDER BY tenant_id, id")
            .fetch_all(self.reader())
            .await;
        rows.map_err(db)?.iter().map(limit).collect()
    }
}

impl Store {
    /// Books what `records` cost on the budgets of their tenant, in the transaction that makes them count. Nothing was reserved
    /// for them, so that a budget may be passed here; what comes after is refused.
    pub(crate) async fn book_spend(
        &self,
        tx: &mut Transaction<'static, Any>,
        tenant: &TenantId,
        records: &[UsageRecord],
    ) -> Result<()> {
        if records.iter().all(|record| record.cost.is_none_or(|cost| cost == Money::ZERO)) {
            return Ok(());
        }
        // In the order of ids, as replicas lock them when they exchange leases.
        let statement = self.sql(
            "SELECT * FROM limits WHERE tenant_id = $1 AND subject_kind = 'tenant' \
             AND kind IN ('usd_per_day', 'usd_per_month', 'usd_total') ORDER BY id FOR UPDATE",
        );
        let rows = statement.bind(tenant.as_str().to_owned()).fetch_all(&mut **tx).await.map_err(db)?;
        if rows.is_empty() {
            return Ok(());
        }
        let now = self.tx_now(tx).await?;
        for row in &rows {
            let limit = limit(row)?;
            let counts = |record: &&UsageRecord| limit.model.as_ref().is_none_or(|model| **model == *record.model);
            let spent: Money = records.iter().filter(counts).filter_map(|record| record.cost).sum();
            self.add_use(tx, limit.id.as_str(), slot(limit.kind, now), spent.nanos(), 0).await?;
        }
        Ok(())
    }
}

pub(crate) fn limit(row: &AnyRow) -> Result<Limit> {
    let columns = Columns(row);
    Ok(Limit {
        id: LimitId::from_string(columns.text("id")?),
        tenant: TenantId::from_string(columns.text("tenant_id")?),
        subject_kind: columns.word("subject_kind", SubjectKind::parse)?,
        subject: columns.text("subject")?,
        model: Some(columns.text("model")?).filter(|model| !model.is_empty()),
        kind: columns.word("kind", LimitKind::parse)?,
        amount: columns.int("amount")?,
    })
}
