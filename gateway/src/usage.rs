//! `/v1/usage` and `/admin/v1/usage`: sums over the ledger, as JSON or as a table for spreadsheets.

mod query;
mod table;

use crate::{app::App, extract::ApiQuery};
use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chassis::http::ApiError;
use domain::{Caller, Result};
use http::{
    HeaderMap,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use query::Asked;
use std::sync::Arc;
use store::{Store, UsageQuery};

pub(crate) use query::{AnyUsageParams, UsageParams};
pub(crate) use table::UsageReport;

/// The names and values of a query string, in which one name may stand more than once.
type Pairs = Vec<(String, String)>;

/// Read the own tenant's usage.
#[utoipa::path(get, path = "/v1/usage", tag = "Usage", params(UsageParams), responses((status = 200, content((UsageReport = "application/json"), (String = "text/csv")))))]
pub(crate) async fn own(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    ApiQuery(pairs): ApiQuery<Pairs>,
) -> Result<Response, ApiError> {
    let store = &app.gateway.store;
    let asked = Asked::read(pairs, &headers, store.now_ms().await?, false)?;
    let query = UsageQuery { tenant: Some(caller.tenant.clone()), ..asked.query.clone() };
    Ok(report(store, asked, query).await?)
}

/// Read everybody's usage.
#[utoipa::path(get, path = "/admin/v1/usage", tag = "Usage", params(AnyUsageParams), responses((status = 200, content((UsageReport = "application/json"), (String = "text/csv")))))]
pub(crate) async fn every(
    State(app): State<App>,
    headers: HeaderMap,
    ApiQuery(pairs): ApiQuery<Pairs>,
) -> Result<Response, ApiError> {
    let store = &app.gateway.store;
    let asked = Asked::read(pairs, &headers, store.now_ms().await?, true)?;
    let query = asked.query.clone();
    Ok(report(store, asked, query).await?)
}

async fn report(store: &Store, asked: Asked, query: UsageQuery) -> Result<Response> {
    let rows = store.usage(&query).await?;
    if asked.is_csv {
        let headers =
            [(CONTENT_TYPE, "text/csv; charset=utf-8"), (CONTENT_DISPOSITION, "attachment; filename=\"usage.csv\"")];
        return Ok((headers, table::csv(&rows, &query.group_by)?).into_response());
    }
    Ok(Json(UsageReport::new(&query, &rows)).into_response())
}
