//! Records that are still to be published. Who claims some has them for a while; who died in the meantime loses them to the
//! next, so that each is published at least once.

use super::{COLUMNS, LedgerRow};
use crate::{
    Store,
    outbox::{MOST_COUNTED, Outbox, OutboxState, json},
    row::{Columns, db},
};
use domain::Result;
use sqlx::{Any, Transaction};

const USAGE: Outbox = Outbox { table: "usage_outbox", key: "usage_id" };

impl Store {
    /// Up to `limit` records to publish, oldest first. Nobody else gets them within `hold_ms`.
    pub async fn claim_outbox(&self, limit: i64, hold_ms: i64) -> Result<Vec<LedgerRow>> {
        let ids = self.hold_outbox(USAGE, limit, hold_ms).await?;
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
        self.leave_outbox(USAGE, ids).await
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
}
