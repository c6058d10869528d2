//! `PATCH /v1/batches/{id}` and its pauses: what an owner may ask of a batch that runs.

use super::{no_such_batch, show};
use crate::{
    app::{App, Gateway},
    extract::{ApiJson, ApiPath, ApiQuery, or_null},
};
use axum::{Extension, Json, extract::State};
use chassis::http::ApiError;
use domain::{BatchId, Error, RequestContext, Result};
use serde::Deserialize;
use store::{BatchPatch, BatchRow, request};
use wire::batch::Batch;

/// What is to become of a batch. What is not said stays as it is; null takes back what was set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchBatch {
    priority: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    not_before: Option<Option<i64>>,
    #[serde(default, deserialize_with = "or_null")]
    run_between: Option<Option<request::RunBetween>>,
    #[serde(default, deserialize_with = "or_null")]
    max_concurrency: Option<Option<i64>>,
    expires_at: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResumeQuery {
    #[serde(default)]
    extend_deadline: bool,
}

/// `PATCH /v1/batches/{id}`
pub(crate) async fn patch(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<PatchBatch>,
) -> Result<Json<Batch>, ApiError> {
    let patch = to_patch(&body)?;
    let row = app.gateway.store.patch_batch(&context.tenant, &BatchId::from_string(&id), &patch).await?;
    told(&app.gateway, row, &id).await
}

/// `POST /v1/batches/{id}/pause`
pub(crate) async fn pause(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
) -> Result<Json<Batch>, ApiError> {
    let row = app.gateway.store.pause_batch(&context.tenant, &BatchId::from_string(&id)).await?;
    told(&app.gateway, row, &id).await
}

/// `POST /v1/batches/{id}/resume`
pub(crate) async fn resume(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
    ApiQuery(query): ApiQuery<ResumeQuery>,
) -> Result<Json<Batch>, ApiError> {
    let batch = BatchId::from_string(&id);
    let row = app.gateway.store.resume_batch(&context.tenant, &batch, query.extend_deadline).await?;
    told(&app.gateway, row, &id).await
}

async fn told(gateway: &Gateway, row: Option<BatchRow>, id: &str) -> Result<Json<Batch>, ApiError> {
    Ok(Json(show(gateway, row.ok_or_else(|| no_such_batch(id))?).await?))
}

fn to_patch(body: &PatchBatch) -> Result<BatchPatch> {
    let patch = BatchPatch {
        priority: body.priority.as_deref().map(request::priority).transpose()?,
        not_before_ms: unless_null(body.not_before, |secs| request::time("not_before", secs))?,
        run_between: unless_null(body.run_between.as_ref().map(Option::as_ref), request::run_between)?,
        max_concurrency: unless_null(body.max_concurrency, request::max_concurrency)?,
        expires_at_ms: body.expires_at.map(|secs| request::time("expires_at", secs)).transpose()?,
    };
    if patch == BatchPatch::default() {
        let text = "The body changes nothing; give `priority`, `not_before`, `run_between`, `max_concurrency` or `expires_at`.";
        return Err(Error::invalid(text));
    }
    Ok(patch)
}

/// Judges what is there and is not null.
fn unless_null<T, U>(given: Option<Option<T>>, judge: impl FnOnce(T) -> Result<U>) -> Result<Option<Option<U>>> {
    given.map(|value| value.map(judge).transpose()).transpose()
}
