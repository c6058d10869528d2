//! `/admin/v1/tenants`: who owns keys, files, batches and limits.

use super::{
    access::By,
    bounds::{Deleted, ListQuery, invalid, name, no_such, note, page, secs},
};
use crate::{
    app::App,
    extract::{ApiJson, ApiPath, ApiQuery, or_null},
};
use axum::{Json, extract::State};
use chassis::http::ApiError;
use domain::{Caller, Error, Kind, Result, TenantId, fair::MAX_WEIGHT};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{TenantPatch, TenantRow};
use utoipa::ToSchema;
use wire::batch::List;

/// More than any fleet works on.
const MAX_SHARDS: i64 = 100_000;

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tenant {
    /// `tenant_…`
    id: String,
    /// Always `tenant`.
    object: &'static str,
    /// Its name, unique.
    name: String,
    /// What its operators want to remember.
    note: String,
    /// Whether its keys are refused.
    disabled: bool,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    disabled_at: Option<i64>,
    /// Its part of the batch workers, relative to the others'.
    batch_weight: i64,
    /// Its shards at work at once; null = as the workers are set.
    batch_shards: Option<i64>,
}

/// A tenant to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateTenant {
    /// Unique, and not only spaces.
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    /// What its operators want to remember.
    #[serde(default)]
    #[schema(max_length = 4_096)]
    note: String,
}

/// What is to become of a tenant. What is not said stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchTenant {
    /// Unique, and not only spaces.
    #[schema(min_length = 1, max_length = 256)]
    name: Option<String>,
    /// What its operators want to remember.
    #[schema(max_length = 4_096)]
    note: Option<String>,
    /// Whether its keys are to be refused.
    disabled: Option<bool>,
    /// Its part of the batch workers, relative to the others'; 100 where nothing was said.
    #[schema(minimum = 1, maximum = 1_000)]
    batch_weight: Option<i64>,
    /// Its shards at work at once; null = as the workers are set.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 100_000)]
    batch_shards: Option<Option<i64>>,
}

/// List tenants, newest first.
#[utoipa::path(get, path = "/admin/v1/tenants", tag = "Tenants", params(ListQuery), responses((status = 200, body = List<Tenant>)))]
pub(super) async fn list(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<List<Tenant>>, ApiError> {
    let after = query.after(TenantId::from_string);
    let rows = app.gateway.store.list_tenants(after.as_ref(), query.limit()?).await?;
    Ok(Json(page(rows, to_wire, |tenant| &tenant.id)))
}

/// Make a tenant.
#[utoipa::path(post, path = "/admin/v1/tenants", tag = "Tenants", request_body = CreateTenant, responses((status = 201, body = Tenant)))]
pub(super) async fn create(
    State(app): State<App>,
    by: By,
    ApiJson(body): ApiJson<CreateTenant>,
) -> Result<(StatusCode, Json<Tenant>), ApiError> {
    let (name, note) = (name("name", body.name)?, note(body.note)?);
    let row = app.gateway.store.add_tenant(&by.author, &name, &note).await?;
    Ok((StatusCode::CREATED, Json(to_wire(row))))
}

/// Read a tenant.
#[utoipa::path(get, path = "/admin/v1/tenants/{id}", tag = "Tenants", responses((status = 200, body = Tenant)))]
pub(super) async fn one(State(app): State<App>, ApiPath(id): ApiPath) -> Result<Json<Tenant>, ApiError> {
    let row = app.gateway.store.tenant(&TenantId::from_string(&id)).await?;
    Ok(Json(to_wire(row.ok_or_else(|| no_such("tenant", &id))?)))
}

/// Rename, annotate, disable or enable a tenant, or give it another part of the batch workers.
#[utoipa::path(patch, path = "/admin/v1/tenants/{id}", tag = "Tenants", request_body = PatchTenant, responses((status = 200, body = Tenant)))]
pub(super) async fn patch(
    State(app): State<App>,
    by: By,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<PatchTenant>,
) -> Result<Json<Tenant>, ApiError> {
    let patch = to_patch(body)?;
    let tenant = TenantId::from_string(&id);
    if patch.is_disabled == Some(true) {
        require_other(&by.caller, &tenant)?;
    }
    let row = app.gateway.store.patch_tenant(&by.author, &tenant, &patch).await?;
    Ok(Json(to_wire(row.ok_or_else(|| no_such("tenant", &id))?)))
}

/// Delete a tenant to whom nothing belongs.
#[utoipa::path(delete, path = "/admin/v1/tenants/{id}", tag = "Tenants", responses((status = 200, body = Deleted)))]
pub(super) async fn delete(State(app): State<App>, by: By, ApiPath(id): ApiPath) -> Result<Json<Deleted>, ApiError> {
    let tenant = TenantId::from_string(&id);
    require_other(&by.caller, &tenant)?;
    let row = app.gateway.store.delete_tenant(&by.author, &tenant).await?;
    let row = row.ok_or_else(|| no_such("tenant", &id))?;
    Ok(Json(Deleted::new("tenant", row.id)))
}

/// Nobody saws off the branch they sit on.
fn require_other(caller: &Caller, tenant: &TenantId) -> Result<()> {
    if caller.tenant != *tenant {
        return Ok(());
    }
    let text = "These credentials belong to this tenant; another tenant's admin must disable or delete it.";
    Err(Error::new(Kind::Conflict, text).with_code("own_tenant"))
}

fn to_patch(body: PatchTenant) -> Result<TenantPatch> {
    let patch = TenantPatch {
        name: body.name.map(|text| name("name", text)).transpose()?,
        note: body.note.map(note).transpose()?,
        is_disabled: body.disabled,
        batch_weight: body.batch_weight.map(|weight| within("batch_weight", weight, MAX_WEIGHT)).transpose()?,
        batch_shards: body
            .batch_shards
            .map(|shards| shards.map(|shards| within("batch_shards", shards, MAX_SHARDS)).transpose())
            .transpose()?,
    };
    if patch == TenantPatch::default() {
        let text = "The body changes nothing; give `name`, `note`, `disabled`, `batch_weight` or `batch_shards`.";
        return Err(invalid("name", text.to_owned()));
    }
    Ok(patch)
}

fn within(param: &str, number: i64, most: i64) -> Result<i64> {
    if (1..=most).contains(&number) {
        return Ok(number);
    }
    Err(invalid(param, format!("Invalid value: {number}. `{param}` must be from 1 to {most}.")))
}

fn to_wire(row: TenantRow) -> Tenant {
    Tenant {
        id: row.id.to_string(),
        object: "tenant",
        name: row.name,
        note: row.note,
        disabled: row.disabled_at_ms.is_some(),
        created_at: secs(row.created_at_ms),
        disabled_at: row.disabled_at_ms.map(secs),
        batch_weight: row.batch_weight,
        batch_shards: row.batch_shards,
    }
}
