//! Records that are still to be published. Who claims some has them for a while; who died in the meantime loses them to the
//! next, so that each is published at least once.

use super::{COLUMNS, LedgerRow};
use crate::{
    Store,
    dialect::Dialect,
    row::{Columns, db},
};
use domain::{Error, Result};
use sqlx::{Any, Row, Transaction};

/// More than so many are not counted: it would take long, and is too many anyway.
const MOST_COUNTED: i64 = 100_000;

/// What waits to be published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxState {
    /// How many records, held ones included; those beyond 100,000 are not counted.
    pub waiting: i64,
    /// How long ago the request of the oldest one ended, in milliseconds.
    pub oldest_ms: i64,
}

impl Store {
    /// Up to `limit` records to publish, oldest first. Nobody else gets them within `hold_ms`.
    pub async fn claim_outbox(&self, limit: i64, hold_ms: i64) -> Result<Vec<LedgerRow>> {
        let claimed = self
            .sql(
                "UPDATE usage_outbox SET held_until_ms = now_ms() + $1 WHERE usage_id IN \
                 (SELECT s.usage_id FROM usage_outbox s WHERE s.held_until_ms <= now_ms() ORDER BY s.usage_id \
                 LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING usage_id",
            )
            .bind(hold_ms)
            .bind(limit)
            .fetch_all(self.writer())
            .await
            .map_err(db)?;
        let ids = claimed.iter().map(|row| row.try_get("usage_id").map_err(db)).collect::<Result<Vec<String>>>()?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids_of = self.texts_of_json();
        let rows = self
            .sql(&format!("SELECT {COLUMNS} FROM usage_records WHERE id IN ({ids_of}) ORDER BY id"))
            .bind(json(&ids)?)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        rows.iter().map(LedgerRow::read).collect()
    }

    /// Takes published records out of the outbox.
    pub async fn ack_outbox(&self, ids: &[&str]) -> Result<()> {
        let ids_of = self.texts_of_json();
        self.sql(&format!("DELETE FROM usage_outbox WHERE usage_id IN ({ids_of})"))
            .bind(json(ids)?)
            .execute(self.writer())
            .await
            .map_err(db)?;
        Ok(())
    }

    /// How much waits, and for how long.
    pub async fn outbox_state(&self) -> Result<OutboxState> {
        let row = self
            .sql(&format!(
                "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM usage_outbox LIMIT {MOST_COUNTED}) counted) AS waiting, \
                 COALESCE((SELECT now_ms() - u.at_ms - u.latency_ms FROM usage_outbox o JOIN usage_records u ON u.id = o.usage_id \
                 ORDER BY o.usage_id LIMIT 1), 0) AS oldest_ms"
            ))
            .fetch_one(self.reader())
            .await
            .map_err(db)?;
        let columns = Columns(&row);
        Ok(OutboxState { waiting: columns.int("waiting")?, oldest_ms: columns.int("oldest_ms")?.max(0) })
    }

    pub(super) async fn put_into_outbox(&self, tx: &mut Transaction<'static, Any>, ids: &[String]) -> Result<()> {
        let ids_of = self.texts_of_json();
        self.sql(&format!("INSERT INTO usage_outbox (usage_id) {ids_of}"))
            .bind(json(ids)?)
            .execute(&mut **tx)
            .await
            .map_err(db)?;
        Ok(())
    }

    /// The texts of a JSON array that is the first parameter, as rows.
    fn texts_of_json(&self) -> &'static str {
        match self.dialect() {
            Dialect::Postgres => "SELECT value FROM jsonb_array_elements_text(CAST($1 AS JSONB))",
            Dialect::Sqlite => "SELECT value FROM json_each($1)",
        }
    }
}

fn json(ids: &[impl serde::Serialize]) -> Result<String> {
    serde_json::to_string(ids).map_err(Error::internal)
}
