//! `/admin/v1`: tenants, keys, limits and what an operator may look at. Every change is recorded with who made it.

pub(crate) mod access;
mod audit;
mod batches;
pub(crate) mod bounds;
mod deployments;
mod keys;
mod limits;
mod models;
mod tenants;

use crate::{app::App, usage};
use axum::{
    Router, middleware,
    routing::{get, post},
};
use utoipa::OpenApi;

/// The routes, for callers with the scope `admin` only: the caller of this puts the guard before them.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/admin/v1/tenants", get(tenants::list).post(tenants::create))
        .route("/admin/v1/tenants/{id}", get(tenants::one).patch(tenants::patch).delete(tenants::delete))
        .route("/admin/v1/keys", get(keys::list).post(keys::create))
        .route("/admin/v1/keys/{id}", get(keys::one).patch(keys::patch).delete(keys::revoke))
        .route("/admin/v1/keys/{id}/rotate", post(keys::rotate))
        .route("/admin/v1/limits", get(limits::list).post(limits::create))
        .route("/admin/v1/limits/{id}", get(limits::one).patch(limits::patch).delete(limits::delete))
        .route("/admin/v1/models", get(models::list))
        .route("/admin/v1/deployments", get(deployments::list))
        .route("/admin/v1/batches", get(batches::list))
        .route("/admin/v1/audit", get(audit::list))
        .route("/admin/v1/usage", get(usage::every))
        .route_layer(middleware::map_response(access::kept_by_nobody))
}

/// The routes as OpenAPI describes them.
#[derive(OpenApi)]
#[openapi(paths(
    tenants::list,
    tenants::create,
    tenants::one,
    tenants::patch,
    tenants::delete,
    keys::list,
    keys::create,
    keys::one,
    keys::patch,
    keys::rotate,
    keys::revoke,
    limits::list,
    limits::create,
    limits::one,
    limits::patch,
    limits::delete,
    models::list,
    deployments::list,
    batches::list,
    audit::list,
    usage::every
))]
pub(crate) struct AdminApi;
