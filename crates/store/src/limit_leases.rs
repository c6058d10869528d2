//! Slices of limits: a replica reports what it used and takes what it may use next, so that it admits requests from memory.
//! What was used within the window or period, plus what all replicas hold, never exceeds the limit.

mod holders;
mod slots;
mod uses;

pub(crate) use slots::{WINDOW_MS, slot};

use crate::{
    Store,
    grant::{self, Standing},
    row::{Columns, db},
};
use domain::{LimitId, LimitKind, ReplicaId, Result};
use serde_json::json;
use slots::period_end;
use sqlx::{Any, Transaction};
use std::collections::{BTreeMap, HashMap};

/// What a replica says of one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseReport {
    /// The limit.
    pub limit: LimitId,
    /// Counts up; the same report again must carry the same number.
    pub seq: i64,
    /// Used since the last report.
    pub used: i64,
    /// Corrections of earlier reports, by the slot they were booked in.
    pub corrections: Vec<(i64, i64)>,
    /// Reserved for requests that run: the lease has at least this.
    pub keep: i64,
    /// How much more it would like.
    pub want: i64,
    /// The least that is of use to it now: the need of a request that waits.
    pub need: i64,
}

/// What a replica may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseGrant {
    /// The limit.
    pub limit: LimitId,
    /// What it may use beyond what it keeps.
    pub balance: i64,
    /// The slot in which `used` was booked.
    pub slot_ms: i64,
    /// What nobody has used and nobody else holds, before this grant.
    pub free: i64,
    /// Milliseconds from now until what was used falls out of the window or period, oldest first, and how much. Only when
    /// less was granted than needed.
    pub frees: Vec<(i64, i64)>,
    /// Milliseconds until all that was used so far has fallen out.
    pub reset_ms: i64,
}

type Tx = Transaction<'static, Any>;

/// One limit as the exchange sees it.
struct Open<'a> {
    report: &'a LeaseReport,
    kind: LimitKind,
    amount: i64,
    slot_ms: i64,
    /// Booked as lost of this replica, which was thought dead.
    lost: i64,
    standing: Standing,
    newest_ms: i64,
}

impl Store {
    /// Books what `replica` reports and grants leases that lapse after `ttl_ms`. Limits that no longer exist have no grant.
    /// Reports may be repeated when the answer was lost.
    pub async fn exchange_leases(
        &self,
        replica: &ReplicaId,
        reports: &[LeaseReport],
        ttl_ms: i64,
    ) -> Result<Vec<LeaseGrant>> {
        let mut tx = self.begin().await?;
        let mut limits = self.lock_limits(&mut tx, reports).await?;
        let now = self.tx_now(&mut tx).await?;
        let ids = id_list(limits.keys());
        for open in limits.values_mut() {
            open.slot_ms = slot(open.kind, now);
        }
        self.read_leases(&mut tx, replica, &ids, now, &mut limits).await?;
        self.take_back_lost(&mut tx, &limits).await?;
        self.book(&mut tx, &limits, now).await?;
        self.read_uses(&mut tx, &ids, now, &mut limits).await?;
        let mut grants = Vec::with_capacity(limits.len());
        for open in limits.values() {
            let balance = grant::balance(&open.standing, open.report.keep, open.report.want, open.report.need);
            grants.push(to_grant(open, balance, now));
        }
        self.write_leases(&mut tx, replica, &limits, &grants, now + ttl_ms).await?;
        self.tell_when_free(&mut tx, &limits, &mut grants, now).await?;
        tx.commit().await.map_err(db)?;
        Ok(grants)
    }

    /// Gives back everything that `replica` holds and does not keep for running requests; it ends.
    pub async fn drop_leases(&self, replica: &ReplicaId) -> Result<()> {
        let statement = self.sql("DELETE FROM limit_leases WHERE replica = $1").bind(replica.as_str());
        statement.execute(self.writer()).await.map_err(db).map(drop)
    }

    /// In the order of ids, so that two replicas never wait for each other.
    async fn lock_limits<'a>(&self, tx: &mut Tx, reports: &'a [LeaseReport]) -> Result<BTreeMap<String, Open<'a>>> {
        let by_id: HashMap<&str, &LeaseReport> = reports.iter().map(|report| (report.limit.as_str(), report)).collect();
        let rows = self
            .sql(
                "SELECT id, kind, amount FROM limits WHERE id IN (SELECT jsonb_array_elements_text(CAST($1 AS jsonb))) \
                 ORDER BY id FOR UPDATE",
            )
            .bind(id_list(by_id.keys()))
            .fetch_all(&mut **tx)
            .await
            .map_err(db)?;
        let mut limits = BTreeMap::new();
        for row in &rows {
            let columns = Columns(row);
            let id = columns.text("id")?;
            let Some(report) = by_id.get(id.as_str()) else { continue };
            let (kind, amount) = (columns.word("kind", LimitKind::parse)?, columns.int("amount")?);
            let standing = Standing { amount, ..Standing::default() };
            limits.insert(id, Open { report, kind, amount, slot_ms: 0, lost: 0, standing, newest_ms: 0 });
        }
        Ok(limits)
    }

    pub(crate) async fn tx_now(&self, tx: &mut Tx) -> Result<i64> {
        let row = self.sql("SELECT now_ms() AS now_ms").fetch_one(&mut **tx).await.map_err(db)?;
        Columns(&row).int("now_ms")
    }
}

fn to_grant(open: &Open<'_>, balance: i64, now: i64) -> LeaseGrant {
    let end = if open.kind.is_rate() { open.newest_ms + WINDOW_MS } else { period_end(open.kind, now).unwrap_or(now) };
    LeaseGrant {
        limit: open.report.limit.clone(),
        balance,
        slot_ms: open.slot_ms,
        free: open.amount - open.standing.used - open.standing.others - open.report.keep,
        frees: Vec::new(),
        reset_ms: (end - now).max(0),
    }
}

fn id_list(ids: impl Iterator<Item = impl AsRef<str>>) -> String {
    serde_json::Value::Array(ids.map(|id| json!(id.as_ref())).collect()).to_string()
}
