//! What is still to be told to somebody outside: rows that name other rows. Who claims some has them for a while; who died in the
//! meantime loses them to the next, so that each is told at least once.

use crate::{Store, dialect::Dialect, row::db};
use domain::{Error, Result};
use sqlx::Row;

/// More than so many are not counted: it would take long, and is too many anyway.
pub(crate) const MOST_COUNTED: i64 = 100_000;

/// What waits to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxState {
    /// How many, held ones included; those beyond 100,000 are not counted.
    pub waiting: i64,
    /// How long ago the oldest one happened, in milliseconds.
    pub oldest_ms: i64,
}

/// A table of them.
#[derive(Clone, Copy)]
pub(crate) struct Outbox {
    pub(crate) table: &'static str,
    /// Names the row that is told of; later ones sort after earlier ones.
    pub(crate) key: &'static str,
}

impl Store {
    /// The keys of up to `limit` rows, oldest first. Nobody else gets them within `hold_ms`.
    pub(crate) async fn hold_outbox(&self, outbox: Outbox, limit: i64, hold_ms: i64) -> Result<Vec<String>> {
        let Outbox { table, key } = outbox;
        let held = self
            .sql(&format!(
                "UPDATE {table} SET held_until_ms = now_ms() + $1 WHERE {key} IN \
                 (SELECT s.{key} FROM {table} s WHERE s.held_until_ms <= now_ms() ORDER BY s.{key} \
                 LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING {key}"
            ))
            .bind(hold_ms)
            .bind(limit)
            .fetch_all(self.writer())
            .await
            .map_err(db)?;
        held.iter().map(|row| row.try_get(key).map_err(db)).collect()
    }

    /// Takes what was told out of it.
    pub(crate) async fn leave_outbox(&self, outbox: Outbox, keys: &[&str]) -> Result<()> {
        let (Outbox { table, key }, keys_of) = (outbox, self.texts_of_json());
        self.sql(&format!("DELETE FROM {table} WHERE {key} IN ({keys_of})"))
            .bind(json(keys)?)
            .execute(self.writer())
            .await
            .map_err(db)?;
        Ok(())
    }

    /// The texts of a JSON array that is the first parameter, as rows.
    pub(crate) fn texts_of_json(&self) -> &'static str {
        match self.dialect() {
            Dialect::Postgres => "SELECT value FROM jsonb_array_elements_text(CAST($1 AS JSONB))",
            Dialect::Sqlite => "SELECT value FROM json_each($1)",
        }
    }
}

/// A list of keys as a parameter.
pub(crate) fn json(keys: &[impl serde::Serialize]) -> Result<String> {
    serde_json::to_string(keys).map_err(Error::internal)
}
