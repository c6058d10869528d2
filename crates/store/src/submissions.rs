//! Jobs that came as messages. A message may come twice; its job is made once.

use crate::{
    BatchRow, NewBatch, Store,
    row::{Columns, db},
};
use domain::{BatchId, Error, Kind, Result, TenantId};

/// What makes a message a job of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// As its sender named it; unique for its tenant.
    pub id: String,
    /// SHA-256 of the message.
    pub digest: [u8; 32],
    /// Where the events of the batch go as well.
    pub reply_to: Option<String>,
}

impl Store {
    /// The batch that a submission became before, if it did. Conflict (code `submission_id_reused`) when that was another message.
    pub async fn submitted(&self, tenant: &TenantId, submission: &Submission) -> Result<Option<BatchId>> {
        let row = self
            .sql("SELECT batch_id, digest FROM submissions WHERE tenant_id = $1 AND submission_id = $2")
            .bind(tenant.as_str())
            .bind(submission.id.as_str())
            .fetch_optional(self.reader())
            .await
            .map_err(db)?;
        let Some(row) = row else { return Ok(None) };
        let columns = Columns(&row);
        let batch = columns.text("batch_id")?;
        if columns.blob("digest")? != submission.digest {
            let text =
                format!("The submission_id is that of another job, which became {batch}. Give each job its own.");
            return Err(Error::new(Kind::Conflict, text).with_param("submission_id").with_code("submission_id_reused"));
        }
        Ok(Some(BatchId::from_string(batch)))
    }

    /// Makes the batch of a submission. `None`: somebody made it meanwhile. Otherwise as [`Store::insert_batch`].
    pub async fn insert_submitted(&self, batch: NewBatch, submission: &Submission) -> Result<Option<BatchRow>> {
        let mut tx = self.begin().await?;
        let row = self.insert_batch_in(&mut tx, &batch).await?;
        let named = self
            .sql(
                "INSERT INTO submissions (tenant_id, submission_id, batch_id, digest, reply_to, created_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, now_ms()) ON CONFLICT (tenant_id, submission_id) DO NOTHING",
            )
            .bind(batch.tenant.as_str())
            .bind(submission.id.as_str())
            .bind(batch.id.as_str())
            .bind(submission.digest.as_slice())
            .bind(submission.reply_to.clone())
            .execute(&mut *tx)
            .await
            .map_err(db)?;
        if named.rows_affected() == 0 {
            return Ok(None);
        }
        tx.commit().await.map_err(db)?;
        Ok(Some(row))
    }
}
