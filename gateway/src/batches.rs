//! `/v1/batches`: create, read, list, cancel. A batch is a row; the queue only hears that there is one.

pub(crate) mod audit;
pub(crate) mod backlog;
pub(crate) mod controls;
mod forecast;
pub(crate) mod quote;
pub(crate) mod redrive;
pub(crate) mod results;

use crate::{
    app::{App, Gateway},
    convert,
    extract::{ApiJson, ApiPath, ApiQuery},
    identity, paging,
};
use axum::{Extension, Json, extract::State};
use chassis::http::ApiError;
use domain::{BatchId, Caller, Error, Pointer, PointerKind, RequestContext, Result};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use store::{BatchRow, FileIndex, NewBatch, request::BatchRequest};
use wire::batch::{Batch, List};

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    after: Option<String>,
    limit: Option<String>,
}

/// `POST /v1/batches`
pub(crate) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(context): Extension<RequestContext>,
    ApiJson(body): ApiJson<BatchRequest>,
) -> Result<Json<Batch>, ApiError> {
    let mut new = body.to_new_batch(context.tenant.clone(), context.traceparent())?;
    if let Some(index) = require_input(&app.gateway, &caller, &new).await? {
        new.tokens = index.tokens_by_model();
    }
    let row = app.gateway.store.insert_batch(new).await?;
    ring(&app.gateway, &context, PointerKind::Validate, &row.id).await;
    Ok(Json(show(&app.gateway, row).await?))
}

/// `GET /v1/batches/{id}`
pub(crate) async fn one(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
) -> Result<Json<Batch>, ApiError> {
    let row = find(&app.gateway, &context, &id).await?;
    Ok(Json(show(&app.gateway, row).await?))
}

/// `GET /v1/batches`
pub(crate) async fn list(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<List<Batch>>, ApiError> {
    let store = &app.gateway.store;
    let limit = paging::limit(query.limit.as_deref(), 20, 100)?;
    let after = query.after.map(BatchId::from_string);
    let (rows, has_more) = store.list_batches(&context.tenant, after.as_ref(), limit).await?;
    let page = show_all(&app.gateway, rows).await?;
    Ok(Json(List::new(page, has_more, |batch: &Batch| &batch.id)))
}

/// `POST /v1/batches/{id}/cancel`
pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
) -> Result<Json<Batch>, ApiError> {
    let row = app.gateway.store.cancel_batch(&context.tenant, &BatchId::from_string(&id)).await?;
    let row = row.ok_or_else(|| no_such_batch(&id))?;
    if !row.status.is_terminal() {
        ring(&app.gateway, &context, PointerKind::Finalize, &row.id).await;
    }
    Ok(Json(show(&app.gateway, row).await?))
}

/// The caller's batch of that id.
pub(crate) async fn find(gateway: &Gateway, context: &RequestContext, id: &str) -> Result<BatchRow> {
    let row = gateway.store.batch(&context.tenant, &BatchId::from_string(id)).await?;
    row.ok_or_else(|| no_such_batch(id))
}

/// The object of a batch.
pub(crate) async fn show(gateway: &Gateway, row: BatchRow) -> Result<Batch> {
    let models = gateway.store.model_usage(&[&row.id]).await?.remove(&row.id).unwrap_or_default();
    convert::batch(row, &models)
}

/// The objects of several batches, in their order.
pub(crate) async fn show_all(gateway: &Gateway, rows: Vec<BatchRow>) -> Result<Vec<Batch>> {
    let ids: Vec<_> = rows.iter().map(|row| &row.id).collect();
    let models = gateway.store.model_usage(&ids).await?;
    let object = |row: BatchRow| {
        let models = models.get(&row.id).map(Vec::as_slice).unwrap_or_default();
        convert::batch(row, models)
    };
    rows.into_iter().map(object).collect()
}

/// Tells the workers at once. When that fails, the sweep finds the row a few seconds later.
pub(crate) async fn ring(gateway: &Gateway, context: &RequestContext, kind: PointerKind, id: &BatchId) {
    let pointer = Pointer { traceparent: context.traceparent(), ..Pointer::new(kind, id.as_str()) };
    let pointers = [pointer];
    let limit = Duration::from_millis(gateway.settings.ring_timeout_ms);
    match tokio::time::timeout(limit, gateway.doorbell.ring(&pointers)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(batch.id = %id, error = %error.chain(), "the queue refused a pointer"),
        Err(_) => tracing::warn!(batch.id = %id, "the queue did not take a pointer in time"),
    }
}

/// What is known of the lines of the input, which the caller must be allowed to use.
async fn require_input(gateway: &Gateway, caller: &Caller, new: &NewBatch) -> Result<Option<FileIndex>> {
    let index = gateway.store.require_batch_input(new).await?;
    if let Some(index) = &index {
        identity::require_models(caller, index)?;
    }
    Ok(index)
}

pub(crate) fn no_such_batch(id: &str) -> Error {
    Error::not_found(format!("No batch found with id '{id}'."))
}
