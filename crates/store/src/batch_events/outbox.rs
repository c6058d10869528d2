//! Events that a broker is still to be told.

use super::{BatchEvent, batch_event};
use crate::{
    BatchRow, Store,
    outbox::{MOST_COUNTED, Outbox, OutboxState, json},
    row::{Columns, db},
};
use domain::{EventId, Result};
use sqlx::{Any, Transaction};

const EVENTS: Outbox = Outbox { table: "event_outbox", key: "event_id" };

/// An event with what its hearer may want to know.
#[derive(Debug, Clone, PartialEq)]
pub struct EventToTell {
    /// What happened.
    pub event: BatchEvent,
    /// The batch as it is now.
    pub batch: BatchRow,
    /// The job that it came from, as its sender named it.
    pub submission_id: Option<String>,
    /// Where the sender of that job wants to hear of it.
    pub reply_to: Option<String>,
}

impl Store {
    /// Up to `limit` events to tell, oldest first. Nobody else gets them within `hold_ms`.
    pub async fn claim_events(&self, limit: i64, hold_ms: i64) -> Result<Vec<EventToTell>> {
        let ids = self.hold_outbox(EVENTS, limit, hold_ms).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids_of = self.texts_of_json();
        let events = self
            .sql(&format!(
                "SELECT e.*, s.submission_id, s.reply_to FROM batch_events e \
                 LEFT JOIN submissions s ON s.batch_id = e.batch_id WHERE e.id IN ({ids_of}) ORDER BY e.id"
            ))
            .bind(json(&ids)?)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        let mut told = Vec::with_capacity(events.len());
        for row in &events {
            let (event, columns) = (batch_event(row)?, Columns(row));
            // A batch is never deleted while it has events.
            let Some(batch) = self.batch_by_id(&event.batch).await? else { continue };
            let (submission_id, reply_to) = (columns.opt_text("submission_id")?, columns.opt_text("reply_to")?);
            told.push(EventToTell { event, batch, submission_id, reply_to });
        }
        Ok(told)
    }

    /// Takes told events out of the outbox.
    pub async fn ack_events(&self, ids: &[&EventId]) -> Result<()> {
        let ids: Vec<_> = ids.iter().map(|id| id.as_str()).collect();
        self.leave_outbox(EVENTS, &ids).await
    }

    /// How many events wait, and for how long.
    pub async fn events_state(&self) -> Result<OutboxState> {
        let row = self
            .sql(&format!(
                "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM event_outbox LIMIT {MOST_COUNTED}) counted) AS waiting, \
                 COALESCE((SELECT now_ms() - e.created_at_ms FROM event_outbox o JOIN batch_events e ON e.id = o.event_id \
                 ORDER BY o.event_id LIMIT 1), 0) AS oldest_ms"
            ))
            .fetch_one(self.reader())
            .await
            .map_err(db)?;
        let columns = Columns(&row);
        Ok(OutboxState { waiting: columns.int("waiting")?, oldest_ms: columns.int("oldest_ms")?.max(0) })
    }

    pub(super) async fn put_event_into_outbox(&self, tx: &mut Transaction<'static, Any>, id: &EventId) -> Result<()> {
        self.sql("INSERT INTO event_outbox (event_id) VALUES ($1)")
            .bind(id.as_str())
            .execute(&mut **tx)
            .await
            .map_err(db)?;
        Ok(())
    }
}
