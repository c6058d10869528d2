//! Who holds what of limits: the leases of all replicas, those that lapsed, and what is booked for them.

use super::{LeaseGrant, Open, Tx};
use crate::{
    Store,
    row::{Columns, db},
};
use domain::{LimitKind, ReplicaId, Result};
use serde_json::json;
use std::collections::BTreeMap;

impl Store {
    /// Sums what others hold, and books as lost what lapsed in the hands of a replica that said nothing more.
    pub(super) async fn read_leases(
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

    /// The replica was thought dead and is not: what it reports takes the place of what was booked for it.
    pub(super) async fn take_back_lost(&self, tx: &mut Tx, id: &str, held: i64) -> Result<()> {
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

    pub(super) async fn write_leases(
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
}
