//! Who holds what of limits: the leases of all replicas, those that lapsed, and what is booked for them. A lapsed lease stays as a
//! row with its amount negated: should its replica come back, that tells what to take back and which report came last.

use super::{LeaseGrant, Open, Tx};
use crate::{
    Store,
    row::{Columns, db},
};
use domain::{LimitKind, ReplicaId, Result};
use serde_json::json;
use std::collections::BTreeMap;

/// A replica that says nothing for so long is forgotten: should it come back, its last report may count twice.
const FORGOTTEN_MS: i64 = 86_400_000;

/// A lease of another replica that lapsed.
struct Lapsed {
    limit: String,
    holder: String,
    amount: i64,
    is_forgotten: bool,
}

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
        let mut lapsed = Vec::new();
        for row in &rows {
            let columns = Columns(row);
            let limit = columns.text("limit_id")?;
            let Some(open) = limits.get_mut(&limit) else { continue };
            let (amount, holder) = (columns.int("amount")?, columns.text("replica")?);
            let expires = columns.int("expires_at_ms")?;
            if holder == replica.as_str() {
                open.lost = (-amount).max(0);
                open.standing.is_repeated = columns.int("seq")? == open.report.seq;
            } else if expires > now {
                open.standing.others += amount;
                open.standing.replicas += i64::from(amount > 0);
            } else {
                lapsed.push(Lapsed { limit, holder, amount, is_forgotten: expires < now - FORGOTTEN_MS });
            }
        }
        for lapsed in lapsed {
            self.book_lost(tx, limits, lapsed).await?;
        }
        Ok(())
    }

    async fn book_lost(&self, tx: &mut Tx, limits: &BTreeMap<String, Open<'_>>, lapsed: Lapsed) -> Result<()> {
        let Lapsed { limit, holder, amount, is_forgotten } = lapsed;
        let statement = match (is_forgotten, amount) {
            (true, _) => "DELETE FROM limit_leases WHERE limit_id = $1 AND replica = $2",
            (false, 1..) => "UPDATE limit_leases SET amount = -amount WHERE limit_id = $1 AND replica = $2",
            (false, _) => return Ok(()),
        };
        self.sql(statement).bind(limit.clone()).bind(holder).execute(&mut **tx).await.map_err(db)?;
        // A slot of a request that runs is free again.
        let open = limits.get(&limit).filter(|open| amount > 0 && open.kind != LimitKind::ConcurrentRequests);
        match open {
            Some(open) => self.add_use(tx, &limit, open.slot_ms, amount, amount).await,
            None => Ok(()),
        }
    }

    /// The replica was thought dead and is not: what it reports takes the place of what was booked for it.
    pub(super) async fn take_back_lost(&self, tx: &mut Tx, limits: &BTreeMap<String, Open<'_>>) -> Result<()> {
        let is_booked = |open: &Open<'_>| open.lost > 0 && open.kind != LimitKind::ConcurrentRequests;
        for (id, open) in limits.iter().filter(|(_, open)| is_booked(open)) {
            self.sql(
                "UPDATE limit_uses SET used = used - $2, lost = lost - $2 WHERE limit_id = $1 AND lost >= $2 AND slot_ms = \
                 (SELECT max(slot_ms) FROM limit_uses WHERE limit_id = $1 AND lost >= $2)",
            )
            .bind(id.to_owned())
            .bind(open.lost)
            .execute(&mut **tx)
            .await
            .map_err(db)?;
        }
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
