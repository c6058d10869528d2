//! What was used of limits, by slots: booked, summed, and when it will count no more.

use super::{
    LeaseGrant, Open, Tx, id_list,
    slots::{WINDOW_MS, period_end, slot},
};
use crate::{
    Store,
    row::{Columns, db},
};
use domain::{LimitKind, Result};
use serde_json::json;
use std::collections::BTreeMap;

impl Store {
    /// Books what the replica reports, once.
    pub(super) async fn book(&self, tx: &mut Tx, limits: &BTreeMap<String, Open<'_>>, now: i64) -> Result<()> {
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

    pub(super) async fn read_uses(
        &self,
        tx: &mut Tx,
        ids: &str,
        now: i64,
        limits: &mut BTreeMap<String, Open<'_>>,
    ) -> Result<()> {
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

    /// Fills in when what is missing will be there again.
    pub(super) async fn tell_when_free(
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
