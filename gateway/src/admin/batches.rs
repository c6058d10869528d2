//! `/admin/v1/batches`: the batches of all tenants.

use super::bounds::{self, invalid};
use crate::{app::App, batches, extract::ApiQuery, openapi::words::BatchStatusWord};
use axum::{Json, extract::State};
use chassis::http::ApiError;
use domain::{BatchId, BatchStatus, Result, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wire::batch::{Batch, List};

/// A batch and whose it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantBatch {
    /// Whose it is.
    tenant_id: String,
    #[serde(flatten)]
    batch: Batch,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchesQuery {
    /// Give what comes after the item of this id: the `last_id` of the page before.
    after: Option<String>,
    /// At most this many; 20 where it is not said.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Of this tenant only.
    tenant_id: Option<String>,
    /// In this state only.
    #[param(value_type = Option<BatchStatusWord>, inline)]
    status: Option<String>,
}

/// List batches, newest first.
#[utoipa::path(get, path = "/admin/v1/batches", tag = "Batches", params(BatchesQuery), responses((status = 200, body = List<TenantBatch>)))]
pub(super) async fn list(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<BatchesQuery>,
) -> Result<Json<List<TenantBatch>>, ApiError> {
    let limit = bounds::limit(query.limit.as_deref())?;
    let status = query.status.as_deref().map(to_status).transpose()?;
    let (tenant, after) = (query.tenant_id.map(TenantId::from_string), query.after.map(BatchId::from_string));
    let (rows, has_more) = app.gateway.store.list_every_batch(tenant.as_ref(), status, after.as_ref(), limit).await?;
    let tenants: Vec<_> = rows.iter().map(|row| row.tenant.to_string()).collect();
    let batches = batches::show_all(&app.gateway, rows).await?;
    let page = tenants.into_iter().zip(batches).map(|(tenant_id, batch)| TenantBatch { tenant_id, batch }).collect();
    Ok(Json(List::new(page, has_more, |item: &TenantBatch| &item.batch.id)))
}

fn to_status(word: &str) -> Result<BatchStatus> {
    BatchStatus::parse(word).ok_or_else(|| {
        let allowed = BatchStatus::ALL.map(BatchStatus::as_str).join("', '");
        let shown: String = word.chars().take(64).collect();
        invalid("status", format!("Invalid value: '{shown}'. Supported values are: '{allowed}'."))
    })
}
