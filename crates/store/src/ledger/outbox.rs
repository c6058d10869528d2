//! Records that are still to be published. Who claims some has them for a while; who died in the meantime loses them to the
//! next, so that each is published at least once.

use super::{COLUMNS, LedgerRow};
use crate::{Store, dialect::Dialect, row::db};
use domain::{Error, Result};
use sqlx::{Any, Row, Transaction};

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
