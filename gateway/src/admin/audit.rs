//! `/admin/v1/audit`: who changed what.

use super::bounds::{self, page, secs};
use crate::{app::App, extract::ApiQuery};
use axum::{Json, extract::State};
use chassis::http::ApiError;
use domain::{AuditId, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{AuditQuery, AuditRow};
use utoipa::{IntoParams, ToSchema};
use wire::batch::List;

/// A change that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditRecord {
    /// `audit_…`
    id: String,
    /// Always `audit_record`.
    object: &'static str,
    /// Unix seconds.
    at: i64,
    /// A key's id, a principal, or `cli`.
    actor: String,
    /// The request that changed it.
    request_id: Option<String>,
    /// What was done, as `limit.patch`.
    action: String,
    /// The id of what was changed.
    target: String,
    /// Whose it is.
    tenant_id: Option<String>,
    /// What it was; null = it was new.
    before: Option<Value>,
    /// What it is; null = it is gone.
    after: Option<Value>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangesQuery {
    /// Give what comes after the item of this id: the `last_id` of the page before.
    after: Option<String>,
    /// At most this many; 20 where it is not said.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Of what belongs to this tenant only.
    tenant_id: Option<String>,
    /// Of the thing with this id only.
    target: Option<String>,
    /// By this actor only.
    actor: Option<String>,
}

/// List changes, newest first.
#[utoipa::path(get, path = "/admin/v1/audit", tag = "Audit", params(ChangesQuery), responses((status = 200, body = List<AuditRecord>)))]
pub(super) async fn list(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<ChangesQuery>,
) -> Result<Json<List<AuditRecord>>, ApiError> {
    let limit = bounds::limit(query.limit.as_deref())?;
    let after = query.after.map(AuditId::from_string);
    let tenant = query.tenant_id.map(TenantId::from_string);
    let about = AuditQuery { tenant, target: query.target, actor: query.actor };
    let rows = app.gateway.store.list_audit(&about, after.as_ref(), limit).await?;
    Ok(Json(page(rows, to_wire, |record| &record.id)))
}

fn to_wire(row: AuditRow) -> AuditRecord {
    AuditRecord {
        id: row.id.to_string(),
        object: "audit_record",
        at: secs(row.at_ms),
        actor: row.actor,
        request_id: row.request_id.map(|id| id.to_string()),
        action: row.action,
        target: row.target,
        tenant_id: row.tenant.map(|id| id.to_string()),
        before: row.before,
        after: row.after,
    }
}
