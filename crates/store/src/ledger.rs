//! The ledger: one row a request. A record is written once, however often it is sent, and never changed.

mod copy;
mod line;
mod outbox;
mod record;
mod report;

pub use record::LedgerRow;
pub use report::{UsageGroup, UsageQuery, UsageRow};

use crate::{Store, dialect::Dialect, row::db, store::STATEMENT_BYTES};
use domain::{Error, Result, UsageRecord};
use line::UsageLine;
use sqlx::{Any, Row, Transaction};

const COLUMNS: &str = "id, at_ms, tenant_id, key_id, principal, batch_id, request_id, trace_id, class, dialect, model, \
    deployment, status, outcome, input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, \
    is_estimated, is_cached, cost_nanos, latency_ms, ttft_ms";

const FROM_JSON_POSTGRES: &str = "SELECT id, at_ms, tenant_id, key_id, principal, batch_id, request_id, trace_id, class, \
    dialect, model, deployment, status, outcome, input_tokens, output_tokens, COALESCE(cached_tokens, 0), \
    COALESCE(cache_write_tokens, 0), COALESCE(reasoning_tokens, 0), COALESCE(CAST(is_estimated AS INTEGER), 0), \
    COALESCE(CAST(is_cached AS INTEGER), 0), cost_nanos, latency_ms, ttft_ms \
    FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS r(id TEXT, at_ms BIGINT, tenant_id TEXT, key_id TEXT, principal TEXT, \
    batch_id TEXT, request_id TEXT, trace_id TEXT, class TEXT, dialect TEXT, model TEXT, deployment TEXT, status BIGINT, \
    outcome TEXT, input_tokens BIGINT, output_tokens BIGINT, cached_tokens BIGINT, cache_write_tokens BIGINT, \
    reasoning_tokens BIGINT, is_estimated BOOLEAN, is_cached BOOLEAN, cost_nanos BIGINT, latency_ms BIGINT, ttft_ms BIGINT)";

const FROM_JSON_SQLITE: &str = "SELECT value ->> 'id', value ->> 'at_ms', value ->> 'tenant_id', value ->> 'key_id', \
    value ->> 'principal', value ->> 'batch_id', value ->> 'request_id', value ->> 'trace_id', value ->> 'class', \
    value ->> 'dialect', value ->> 'model', value ->> 'deployment', value ->> 'status', value ->> 'outcome', \
    value ->> 'input_tokens', value ->> 'output_tokens', COALESCE(value ->> 'cached_tokens', 0), \
    COALESCE(value ->> 'cache_write_tokens', 0), COALESCE(value ->> 'reasoning_tokens', 0), \
    COALESCE(value ->> 'is_estimated', 0), COALESCE(value ->> 'is_cached', 0), value ->> 'cost_nanos', \
    value ->> 'latency_ms', value ->> 'ttft_ms' FROM json_each($1) WHERE TRUE";

impl Store {
    /// Writes records in one transaction and says how many were new. The new ones are also put into the outbox, if this
    /// store publishes ([`Store::publishing_usage`]).
    pub async fn insert_usage(&self, records: &[UsageRecord]) -> Result<u64> {
        if records.is_empty() {
            return Ok(0);
        }
        if let Some(copies) = self.copies() {
            match copy::copy(copies, records, self.publishes_usage()).await {
                Ok(()) => return Ok(records.len() as u64),
                // They were sent before, and the answer was lost.
                Err(error) if copy::is_duplicate(&error) => {}
                Err(error) => return Err(db(error)),
            }
        }
        let mut tx = self.begin().await?;
        let added = self.insert_usage_in(&mut tx, records).await?;
        tx.commit().await.map_err(db)?;
        Ok(added)
    }

    /// The same inside a transaction that writes more.
    pub(crate) async fn insert_usage_in(
        &self,
        tx: &mut Transaction<'static, Any>,
        records: &[UsageRecord],
    ) -> Result<u64> {
        let lines: Vec<_> = records.iter().map(UsageLine::from).collect();
        let mut added = 0;
        for chunk in in_statements(&lines, UsageLine::bytes) {
            let rows = serde_json::to_string(chunk).map_err(Error::internal)?;
            added += match self.publishes_usage() {
                true => self.insert_and_publish(tx, rows).await?,
                false => self.insert(tx, rows).await?,
            };
        }
        Ok(added)
    }

    /// Deletes the oldest records from before `before_ms`, at most `max_rows`, and says how many.
    pub async fn delete_usage_before(&self, before_ms: i64, max_rows: i64) -> Result<u64> {
        let deleted = self
            .sql(
                "DELETE FROM usage_records WHERE id IN (SELECT u.id FROM usage_records u WHERE u.at_ms < $1 \
                 ORDER BY u.at_ms LIMIT $2 FOR UPDATE SKIP LOCKED)",
            )
            .bind(before_ms)
            .bind(max_rows)
            .execute(self.writer())
            .await
            .map_err(db)?;
        Ok(deleted.rows_affected())
    }

    async fn insert(&self, tx: &mut Transaction<'static, Any>, rows: String) -> Result<u64> {
        let sql = self.insert_sql();
        Ok(self.sql(&sql).bind(rows).execute(&mut **tx).await.map_err(db)?.rows_affected())
    }

    /// Only those that were new go out.
    async fn insert_and_publish(&self, tx: &mut Transaction<'static, Any>, rows: String) -> Result<u64> {
        let sql = format!("{} RETURNING id", self.insert_sql());
        let added = self.sql(&sql).bind(rows).fetch_all(&mut **tx).await.map_err(db)?;
        let ids = added.iter().map(|row| row.try_get("id").map_err(db)).collect::<Result<Vec<String>>>()?;
        self.put_into_outbox(tx, &ids).await?;
        Ok(ids.len() as u64)
    }

    fn insert_sql(&self) -> String {
        let from_json = match self.dialect() {
            Dialect::Postgres => FROM_JSON_POSTGRES,
            Dialect::Sqlite => FROM_JSON_SQLITE,
        };
        format!("INSERT INTO usage_records ({COLUMNS}) {from_json} ON CONFLICT (id) DO NOTHING")
    }
}

/// Cuts rows of so many bytes into as many as one statement takes.
fn in_statements<T>(mut rows: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fits = |row: &&T| {
            sum += bytes(row);
            sum <= STATEMENT_BYTES
        };
        // One that is too long goes by itself.
        let count = rows.iter().take_while(fits).count().max(1);
        let (chunk, rest) = rows.split_at_checked(count)?;
        rows = rest;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(rows: &[usize]) -> Vec<&[usize]> {
        in_statements(rows, |row| *row).collect()
    }

    #[test]
    fn a_statement_is_filled_and_no_row_is_left_out() {
        let third = STATEMENT_BYTES / 3;

        assert_eq!(cut(&[third; 7]).iter().map(|chunk| chunk.len()).collect::<Vec<_>>(), [3, 3, 1]);
        assert!(cut(&[]).is_empty());
    }

    #[test]
    fn a_row_that_is_too_long_goes_by_itself() {
        assert_eq!(cut(&[1, STATEMENT_BYTES + 1, 1]), [&[1][..], &[STATEMENT_BYTES + 1], &[1]]);
    }
}
