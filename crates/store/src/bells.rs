//! The embedded doorbell: a table of pointers. At least once, unordered; a bell that is neither acknowledged nor
//! given back rings again when its hold ends.

use crate::{
    Store,
    row::{Columns, db},
};
use domain::{Error, Pointer, PointerKind, Result};
use sqlx::any::AnyRow;

/// A bell that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bell {
    /// For [`Store::ack_bell`] and [`Store::nack_bell`].
    pub id: i64,
    /// Where the work is.
    pub pointer: Pointer,
}

impl Store {
    /// Rings. A pointer that already waits to be taken is not added again. Returns once it is durable.
    pub async fn ring(&self, pointers: &[Pointer]) -> Result<()> {
        if pointers.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for pointer in pointers {
            self.sql(
                "INSERT INTO bells (kind, ref_id, pointer, held_until_ms) SELECT $1, $2, $3, 0 WHERE NOT EXISTS \
                 (SELECT 1 FROM bells WHERE ref_id = $2 AND kind = $1 AND held_until_ms = 0)",
            )
            .bind(kind_word(pointer.kind))
            .bind(pointer.id.as_str())
            .bind(serde_json::to_string(pointer).map_err(Error::internal)?)
            .execute(&mut *tx)
            .await
            .map_err(db)?;
        }
        tx.commit().await.map_err(db)?;
        let hint = self.bell_hint();
        hint.notify_waiters();
        // Kept for a listener that is between two looks at the table.
        hint.notify_one();
        Ok(())
    }

    /// Takes up to `limit` bells that nobody holds, oldest first, and holds them for `hold_ms`.
    pub async fn take_bells(&self, limit: i64, hold_ms: i64) -> Result<Vec<Bell>> {
        let waiting = self.sql("SELECT 1 AS one FROM bells WHERE held_until_ms <= now_ms() LIMIT 1");
        // Looking must not cost the one writer anything while there is nothing to take.
        if waiting.fetch_optional(self.reader()).await.map_err(db)?.is_none() {
            return Ok(Vec::new());
        }
        let rows = self
            .sql(
                "UPDATE bells SET held_until_ms = now_ms() + $1 WHERE id IN (SELECT id FROM bells \
                 WHERE held_until_ms <= now_ms() ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id, pointer",
            )
            .bind(hold_ms)
            .bind(limit)
            .fetch_all(self.writer())
            .await
            .map_err(db)?;
        rows.iter().map(bell).collect()
    }

    /// The work is claimed: the bell is gone.
    pub async fn ack_bell(&self, id: i64) -> Result<()> {
        self.changed(self.sql("DELETE FROM bells WHERE id = $1").bind(id)).await.map(drop)
    }

    /// Somebody else should take it, now.
    pub async fn nack_bell(&self, id: i64) -> Result<()> {
        self.changed(self.sql("UPDATE bells SET held_until_ms = 0 WHERE id = $1").bind(id)).await?;
        self.bell_hint().notify_one();
        Ok(())
    }

    /// How many bells there are, held ones too.
    pub async fn bell_depth(&self) -> Result<i64> {
        let row = self.sql("SELECT count(*) AS depth FROM bells").fetch_one(self.reader()).await.map_err(db)?;
        Columns(&row).int("depth")
    }
}

fn kind_word(kind: PointerKind) -> &'static str {
    match kind {
        PointerKind::Validate => "validate",
        PointerKind::Shard => "shard",
        PointerKind::Finalize => "finalize",
    }
}

fn bell(row: &AnyRow) -> Result<Bell> {
    let columns = Columns(row);
    let pointer = serde_json::from_str(&columns.text("pointer")?).map_err(Error::internal)?;
    Ok(Bell { id: columns.int("id")?, pointer })
}
