//! What a batch used and what it cost, by the model that answered: summed with each checkpoint, so that reading it costs nothing.

use crate::{
    Store,
    row::{Columns, db},
};
use domain::{BatchId, Money, Result, Usage, UsageRecord};
use sqlx::{Any, Transaction, any::AnyRow};
use std::collections::{BTreeMap, HashMap};

/// What one model did for a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelUsage {
    /// The model that answered, else the one asked for.
    pub model: String,
    /// Lines that were called.
    pub requests: i64,
    /// Tokens.
    pub usage: Usage,
    /// What those with a price cost.
    pub cost: Money,
    /// Those without a price: `cost` lacks them.
    pub unpriced: i64,
}

impl Store {
    /// What each model did for each of `batches`, by name. Batches that used none are left out.
    pub async fn model_usage(&self, batches: &[&BatchId]) -> Result<HashMap<BatchId, Vec<ModelUsage>>> {
        let mut found: HashMap<BatchId, Vec<ModelUsage>> = HashMap::new();
        if batches.is_empty() {
            return Ok(found);
        }
        let places: Vec<_> = (1..=batches.len()).map(|at| format!("${at}")).collect();
        let sql =
            format!("SELECT * FROM batch_models WHERE batch_id IN ({}) ORDER BY batch_id, model", places.join(", "));
        let statement =
            batches.iter().fold(self.sql(&sql), |statement, batch| statement.bind(batch.as_str().to_owned()));
        for row in statement.fetch_all(self.reader()).await.map_err(db)? {
            let batch = BatchId::from_string(Columns(&row).text("batch_id")?);
            found.entry(batch).or_default().push(model_usage(&row)?);
        }
        Ok(found)
    }

    /// Adds lines that were called, in the transaction that makes them count.
    pub(crate) async fn add_model_usage(
        &self,
        tx: &mut Transaction<'static, Any>,
        batch: &BatchId,
        lines: &[UsageRecord],
    ) -> Result<()> {
        for (model, sum) in by_model(lines) {
            self.sql(
                "INSERT INTO batch_models (batch_id, model, requests, input_tokens, output_tokens, cached_tokens, \
                 reasoning_tokens, cost_nanos, unpriced) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                 ON CONFLICT (batch_id, model) DO UPDATE SET requests = batch_models.requests + excluded.requests, \
                 input_tokens = batch_models.input_tokens + excluded.input_tokens, \
                 output_tokens = batch_models.output_tokens + excluded.output_tokens, \
                 cached_tokens = batch_models.cached_tokens + excluded.cached_tokens, \
                 reasoning_tokens = batch_models.reasoning_tokens + excluded.reasoning_tokens, \
                 cost_nanos = batch_models.cost_nanos + excluded.cost_nanos, \
                 unpriced = batch_models.unpriced + excluded.unpriced",
            )
            .bind(batch.as_str())
            .bind(model.to_owned())
            .bind(sum.requests)
            .bind(sum.usage.input.cast_signed())
            .bind(sum.usage.output.cast_signed())
            .bind(sum.usage.cached.cast_signed())
            .bind(sum.usage.reasoning.cast_signed())
            .bind(sum.cost.nanos())
            .bind(sum.unpriced)
            .execute(&mut **tx)
            .await
            .map_err(db)?;
        }
        Ok(())
    }
}

fn by_model(lines: &[UsageRecord]) -> BTreeMap<&str, ModelUsage> {
    let mut sums: BTreeMap<&str, ModelUsage> = BTreeMap::new();
    for line in lines {
        let sum = sums.entry(&line.model).or_default();
        sum.requests += 1;
        sum.usage += line.usage;
        sum.cost = sum.cost + line.cost.unwrap_or(Money::ZERO);
        sum.unpriced += i64::from(line.cost.is_none());
    }
    sums
}

fn model_usage(row: &AnyRow) -> Result<ModelUsage> {
    let columns = Columns(row);
    Ok(ModelUsage {
        model: columns.text("model")?,
        requests: columns.int("requests")?,
        usage: columns.usage()?,
        cost: Money::from_nanos(columns.int("cost_nanos")?),
        unpriced: columns.int("unpriced")?,
    })
}
