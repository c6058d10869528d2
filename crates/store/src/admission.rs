//! Whether a new batch fits the tenant's limits of enqueued tokens. What is enqueued is counted from the batches themselves: a
//! line that has its record, whatever it says, is not enqueued any more, and neither are those of a batch that ended. Nothing is
//! booked, so nothing can be forgotten.

use crate::{
    NewBatch, Store,
    limits::limit,
    row::{Columns, db},
};
use domain::{Error, Kind, Limit, Result, TenantId};
use sqlx::{Any, Transaction};

/// Of batches whose lines may still run.
const ENQUEUED: &str = "b.tenant_id = $1 AND b.status IN ('validating', 'in_progress')";

/// What lines of a batch still have to use. Batches from before estimates were kept have none.
pub(crate) const TOKENS_LEFT: &str = "CASE WHEN b.tokens > b.tokens_done THEN b.tokens - b.tokens_done ELSE 0 END";

/// What lines of one model still have to use. A batch of several models finishes them evenly, as far as this knows.
const LEFT_OF_MODEL: &str = "CASE WHEN t.tokens = b.tokens THEN b.tokens - b.tokens_done ELSE \
    CAST(round(t.tokens * (1.0 - CAST(b.tokens_done AS DOUBLE PRECISION) / b.tokens)) AS BIGINT) END";

impl Store {
    /// Refuses a batch that does not fit. Until the transaction ends nobody else makes one for a tenant with such limits.
    pub(crate) async fn require_room(&self, tx: &mut Transaction<'static, Any>, batch: &NewBatch) -> Result<()> {
        let rows = self
            .sql("SELECT * FROM limits WHERE tenant_id = $1 AND kind = 'enqueued_tokens' ORDER BY id FOR UPDATE")
            .bind(batch.tenant.as_str())
            .fetch_all(&mut **tx)
            .await
            .map_err(db)?;
        for row in &rows {
            let limit = limit(row)?;
            let counts = |model: &str| limit.model.as_deref().is_none_or(|counted| counted == model);
            let need = batch.tokens.iter().filter(|(model, _)| counts(model)).map(|(_, tokens)| tokens).sum();
            if need == 0 {
                continue;
            }
            let enqueued = self.enqueued_in(tx, &batch.tenant, limit.model.as_deref()).await?;
            if limit.amount.saturating_sub(enqueued) < need {
                return Err(refusal(&limit, enqueued, need));
            }
        }
        Ok(())
    }

    /// Estimated tokens of the tenant's lines that have no record yet, of one model or of all.
    pub async fn enqueued_tokens(&self, tenant: &TenantId, model: Option<&str>) -> Result<i64> {
        let mut tx = self.reader().begin().await.map_err(db)?;
        self.enqueued_in(&mut tx, tenant, model).await
    }

    async fn enqueued_in(
        &self,
        tx: &mut Transaction<'static, Any>,
        tenant: &TenantId,
        model: Option<&str>,
    ) -> Result<i64> {
        let sql = match model {
            None => format!(
                "SELECT CAST(COALESCE(SUM({TOKENS_LEFT}), 0) AS BIGINT) AS tokens FROM batches b WHERE {ENQUEUED}"
            ),
            Some(_) => format!(
                "SELECT CAST(COALESCE(SUM({LEFT_OF_MODEL}), 0) AS BIGINT) AS tokens FROM batches b \
                 JOIN batch_tokens t ON t.batch_id = b.id WHERE {ENQUEUED} AND t.model = $2 AND b.tokens > 0"
            ),
        };
        let mut statement = self.sql(&sql).bind(tenant.as_str());
        if let Some(model) = model {
            statement = statement.bind(model);
        }
        Columns(&statement.fetch_one(&mut **tx).await.map_err(db)?).int("tokens")
    }
}

fn refusal(limit: &Limit, enqueued: i64, need: i64) -> Error {
    let of = limit.model.as_deref().map(|model| format!(" of the model `{model}`")).unwrap_or_default();
    let (amount, remedy) = (
        limit.amount,
        if need > limit.amount {
            "Split it, or ask your operator for a larger limit."
        } else {
            "Try again when some of your batches have finished, or cancel one."
        },
    );
    let text = format!(
        "Enqueued token limit reached: this batch has about {need} tokens{of}, {enqueued} are enqueued already, and the limit is \
         {amount}. {remedy}"
    );
    Error::new(Kind::RateLimited { retry_after: None }, text)
        .with_code("token_limit_exceeded")
        .with_param("input_file_id")
}
