//! Slices of limits: a replica reports what it used and takes what it may use next, so that it admits requests from memory.
//! What was used within the window or period, plus what all replicas hold, never exceeds the limit.

use crate::{
    Store,
    grant::{self, Standing},
    row::{Columns, db},
};
use chrono::{DateTime, Datelike, NaiveTime};
use domain::{LimitId, LimitKind, ReplicaId, Result};
use serde_json::json;
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
    /// The lease it believes it has; another lapsed meanwhile and was booked as lost.
    pub held: i64,
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

/// How long a use counts against a limit by the minute.
pub(crate) const WINDOW_MS: i64 = 60_000;
/// Uses are booked by the second, at its end: never earlier than they happened.
const SLOT_MS: i64 = 1_000;

type Tx = Transaction<'static, Any>;

/// One limit as the exchange sees it.
struct Open<'a> {
    report: &'a LeaseReport,
    kind: LimitKind,
    amount: i64,
    slot_ms: i64,
    is_known: bool,
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
            limits.insert(id, Open { report, kind, amount, slot_ms: 0, is_known: false, standing, newest_ms: 0 });
        }
        Ok(limits)
    }

    pub(crate) async fn tx_now(&self, tx: &mut Tx) -> Result<i64> {
        let row = self.sql("SELECT now_ms() AS now_ms").fetch_one(&mut **tx).await.map_err(db)?;
        Columns(&row).int("now_ms")
    }

    /// Sums what others hold, and books as lost what lapsed in the hands of a replica that said nothing more.
    async fn read_leases(
        &self,
        tx: &mut Tx,
        replica: &ReplicaId,
        ids: &str,
        now: i64,
        limits: &mut BTreeMap<String, Open<'_>>,
    ) -> Result<()> {
        let rows = self
            .sql(
                "SELECT limit_id, replica, amount, seq, expires_at_ms FROM limit_leases \
                 WHERE limit_id IN (SELECT jsonb_array_elements_text(CAST($1 AS jsonb)))",
            )
            .bind(ids)
            .fetch_all(&mut **tx)
            .await
            .map_err(db)?;
        let mut lost = Vec::new();
        for row in &rows {
            let columns = Columns(row);
            let id = columns.text("limit_id")?;
            let Some(open) = limits.get_mut(&id) else { continue };
            let (amount, holder) = (columns.int("amount")?, columns.text("replica")?);
            if holder == replica.as_str() {
                open.is_known = true;
                open.standing.is_repeated = columns.int("seq")? == open.report.seq;
            } else if columns.int("expires_at_ms")? > now {
                open.standing.others += amount;
                open.standing.replicas += i64::from(amount > 0);
            } else {
                lost.push((id, holder, amount));
            }
        }
        self.book_lost(tx, limits, lost).await
    }

    async fn book_lost(
        &self,
        tx: &mut Tx,
        limits: &BTreeMap<String, Open<'_>>,
        lost: Vec<(String, String, i64)>,
    ) -> Result<()> {
        for (id, holder, amount) in lost {
            self.sql("DELETE FROM limit_leases WHERE limit_id = $1 AND replica = $2")
                .bind(id.clone())
                .bind(holder)
                .execute(&mut **tx)
                .await
                .map_err(db)?;
            // A slot of a request that runs is free again.
            let open = limits.get(&id).filter(|open| open.kind != LimitKind::ConcurrentRequests);
            if let Some(open) = open.filter(|_| amount > 0) {
                self.add_use(tx, &id, open.slot_ms, amount, amount).await?;
            }
        }
        Ok(())
    }

    /// Books what the replica reports, once.
    async fn book(&self, tx: &mut Tx, limits: &BTreeMap<String, Open<'_>>, now: i64) -> Result<()> {
        let mut uses: BTreeMap<(&str, i64), i64> = BTreeMap::new();
        for (id, open) in limits {
            let report = open.report;
            if open.standing.is_repeated || open.kind == LimitKind::ConcurrentRequests {
                continue;
            }
            let corrections =
                report.corrections.iter().filter(|(slot, _)| *slot > now - WINDOW_MS || open.kind.is_budget());
            for (slot, used) in corrections.copied().chain([(open.slot_ms, report.used)]) {
                // Two uses of one slot are one: a statement can't touch a row twice.
                *uses.entry((id, slot)).or_default() += used;
            }
            if open.kind.is_budget() && !open.is_known && report.held > 0 {
                self.take_back_lost(tx, id, report.held).await?;
            }
        }
        uses.retain(|_, used| *used != 0);
        if uses.is_empty() {
            return Ok(());
        }
        let rows = uses.iter().map(|((limit, slot), used)| json!({"l": limit, "s": slot, "u": used}));
        let rows = serde_json::Value::Array(rows.collect()).to_string();
        self.sql(self.add_uses_sql()).bind(rows).execute(&mut **tx).await.map_err(db)?;
        self.sql(
            "DELETE FROM limit_uses WHERE slot_ms < $2 AND limit_id IN (SELECT id FROM limits WHERE kind IN \
             ('requests_per_minute', 'tokens_per_minute') \
             AND id IN (SELECT jsonb_array_elements_text(CAST($1 AS jsonb))))",
        )
        .bind(id_list(limits.keys()))
        .bind(now - 2 * WINDOW_MS)
        .execute(&mut **tx)
        .await
        .map_err(db)?;
        Ok(())
    }

    fn add_uses_sql(&self) -> &'static str {
        match self.dialect() {
            crate::dialect::Dialect::Postgres => {
                "INSERT INTO limit_uses (limit_id, slot_ms, used) \
                 SELECT l, s, u FROM jsonb_to_recordset(CAST($1 AS jsonb)) AS t(l TEXT, s BIGINT, u BIGINT) \
                 ON CONFLICT (limit_id, slot_ms) DO UPDATE SET used = limit_uses.used + excluded.used"
            }
            crate::dialect::Dialect::Sqlite => {
                "INSERT INTO limit_uses (limit_id, slot_ms, used) \
                 SELECT value ->> 'l', value ->> 's', value ->> 'u' FROM json_each($1) WHERE true \
                 ON CONFLICT (limit_id, slot_ms) DO UPDATE SET used = limit_uses.used + excluded.used"
            }
        }
    }

    pub(crate) async fn add_use(&self, tx: &mut Tx, id: &str, slot_ms: i64, used: i64, lost: i64) -> Result<()> {
        self.sql(
            "INSERT INTO limit_uses (limit_id, slot_ms, used, lost) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (limit_id, slot_ms) \
             DO UPDATE SET used = limit_uses.used + excluded.used, lost = limit_uses.lost + excluded.lost",
        )
        .bind(id.to_owned())
        .bind(slot_ms)
        .bind(used)
        .bind(lost)
        .execute(&mut **tx)
        .await
        .map_err(db)?;
        Ok(())
    }

    /// The replica was thought dead and is not: what it reports takes the place of what was booked for it.
    async fn take_back_lost(&self, tx: &mut Tx, id: &str, held: i64) -> Result<()> {
        self.sql(
            "UPDATE limit_uses SET used = used - $2, lost = lost - $2 WHERE limit_id = $1 AND lost >= $2 AND slot_ms = \
             (SELECT max(slot_ms) FROM limit_uses WHERE limit_id = $1 AND lost >= $2)",
        )
        .bind(id.to_owned())
        .bind(held)
        .execute(&mut **tx)
        .await
        .map_err(db)?;
        Ok(())
    }

    async fn read_uses(&self, tx: &mut Tx, ids: &str, now: i64, limits: &mut BTreeMap<String, Open<'_>>) -> Result<()> {
        // Budgets count one slot, limits by the minute those of the window; of either, later ones can't be.
        let rows = self
            .sql(
                "SELECT u.limit_id, CAST(sum(u.used) AS BIGINT) AS used, max(u.slot_ms) AS newest FROM limit_uses u \
                 JOIN limits l ON l.id = u.limit_id \
                 WHERE u.limit_id IN (SELECT jsonb_array_elements_text(CAST($1 AS jsonb))) AND u.slot_ms >= CASE l.kind \
                 WHEN 'usd_per_day' THEN $2 WHEN 'usd_per_month' THEN $3 WHEN 'usd_total' THEN 0 ELSE $4 END \
                 GROUP BY u.limit_id",
            )
            .bind(ids)
            .bind(slot(LimitKind::UsdPerDay, now))
            .bind(slot(LimitKind::UsdPerMonth, now))
            .bind(now - WINDOW_MS + 1)
            .fetch_all(&mut **tx)
            .await
            .map_err(db)?;
        for row in &rows {
            let columns = Columns(row);
            if let Some(open) = limits.get_mut(&columns.text("limit_id")?) {
                open.standing.used = columns.int("used")?;
                open.newest_ms = columns.int("newest")?;
            }
        }
        Ok(())
    }

    async fn write_leases(
        &self,
        tx: &mut Tx,
        replica: &ReplicaId,
        limits: &BTreeMap<String, Open<'_>>,
        grants: &[LeaseGrant],
        expires_at_ms: i64,
    ) -> Result<()> {
        let leases: Vec<_> = limits
            .iter()
            .zip(grants)
            .map(|((id, open), grant)| json!({"l": id, "a": open.report.keep + grant.balance, "q": open.report.seq}))
            .collect();
        let select = match self.dialect() {
            crate::dialect::Dialect::Postgres => {
                "SELECT l, CAST($2 AS TEXT), a, q, CAST($3 AS BIGINT) FROM jsonb_to_recordset(CAST($1 AS jsonb)) \
                 AS t(l TEXT, a BIGINT, q BIGINT)"
            }
            crate::dialect::Dialect::Sqlite => {
                "SELECT value ->> 'l', $2, value ->> 'a', value ->> 'q', $3 FROM json_each($1) WHERE true"
            }
        };
        self.sql(&format!(
            "INSERT INTO limit_leases (limit_id, replica, amount, seq, expires_at_ms) {select} \
             ON CONFLICT (limit_id, replica) DO UPDATE SET amount = excluded.amount, seq = excluded.seq, \
             expires_at_ms = excluded.expires_at_ms"
        ))
        .bind(serde_json::Value::Array(leases).to_string())
        .bind(replica.as_str())
        .bind(expires_at_ms)
        .execute(&mut **tx)
        .await
        .map_err(db)?;
        Ok(())
    }

    /// Fills in when what is missing will be there again.
    async fn tell_when_free(
        &self,
        tx: &mut Tx,
        limits: &BTreeMap<String, Open<'_>>,
        grants: &mut [LeaseGrant],
        now: i64,
    ) -> Result<()> {
        for (open, grant) in limits.values().zip(grants) {
            if grant.balance >= open.report.need {
                continue;
            }
            if !open.kind.is_rate() {
                grant.frees = period_end(open.kind, now).map(|end| (end - now, i64::MAX)).into_iter().collect();
                continue;
            }
            let rows = self
                .sql("SELECT slot_ms, used FROM limit_uses WHERE limit_id = $1 AND slot_ms > $2 ORDER BY slot_ms")
                .bind(grant.limit.as_str())
                .bind(now - WINDOW_MS)
                .fetch_all(&mut **tx)
                .await
                .map_err(db)?;
            for row in &rows {
                let columns = Columns(row);
                grant.frees.push((columns.int("slot_ms")? + WINDOW_MS - now, columns.int("used")?));
            }
        }
        Ok(())
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

/// Where a use at `now` is booked.
pub(crate) fn slot(kind: LimitKind, now: i64) -> i64 {
    let Some(time) = DateTime::from_timestamp_millis(now) else { return now };
    let midnight = |date: chrono::NaiveDate| date.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
    match kind {
        LimitKind::UsdPerDay => midnight(time.date_naive()),
        LimitKind::UsdPerMonth => midnight(time.date_naive().with_day(1).unwrap_or(time.date_naive())),
        LimitKind::UsdTotal => 0,
        _ => (now / SLOT_MS + 1) * SLOT_MS,
    }
}

/// When a budget begins anew; never for a total.
fn period_end(kind: LimitKind, now: i64) -> Option<i64> {
    let begin = DateTime::from_timestamp_millis(slot(kind, now))?;
    let end = match kind {
        LimitKind::UsdPerDay => begin.checked_add_days(chrono::Days::new(1)),
        LimitKind::UsdPerMonth => begin.checked_add_months(chrono::Months::new(1)),
        _ => None,
    };
    end.map(|end| end.timestamp_millis())
}
