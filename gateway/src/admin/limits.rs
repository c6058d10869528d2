//! `/admin/v1/limits`: how much a tenant, a key or a principal may use. Budgets are read and told in US dollars.

use super::{
    access::By,
    bounds::{self, Deleted, invalid, no_such, page, secs},
};
use crate::{
    app::App,
    extract::{ApiJson, ApiPath, ApiQuery},
    openapi::words::{LimitKindWord, SubjectKindWord},
};
use axum::{Json, extract::State};
use chassis::http::ApiError;
use domain::{Limit, LimitId, LimitKind, Money, Result, SubjectKind, TenantId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use store::LimitRow;
use utoipa::{IntoParams, ToSchema};
use wire::batch::List;

/// A limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limit)]
pub(super) struct LimitObject {
    /// `limit_…`
    id: String,
    /// Always `limit`.
    object: &'static str,
    /// Whose subject it binds.
    tenant_id: String,
    /// Whom it binds.
    #[schema(value_type = SubjectKindWord)]
    subject_kind: &'static str,
    /// The id of the tenant or key, or the name of the principal.
    subject: String,
    /// The model it counts; null = all together.
    model: Option<String>,
    /// What it counts.
    #[schema(value_type = LimitKindWord)]
    kind: &'static str,
    /// A number of requests or tokens, or US dollars as a string of a decimal number.
    amount: Value,
    /// Unix seconds.
    created_at: i64,
}

/// A limit to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateLimit {
    /// Whose subject it binds.
    tenant_id: String,
    /// Whom it binds; the tenant where it is not said.
    #[schema(value_type = Option<SubjectKindWord>)]
    subject_kind: Option<String>,
    /// The id of the key, or the name of the principal as `issuer:subject`; the tenant where it is not said.
    subject: Option<String>,
    /// The model it counts; all together where it is not said.
    model: Option<String>,
    /// What it counts.
    #[schema(value_type = LimitKindWord)]
    kind: String,
    /// A whole number of requests or tokens; US dollars as a number or a string, with at most nine decimals.
    #[schema(value_type = Value)]
    amount: Box<RawValue>,
}

/// What is to become of a limit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchLimit {
    /// A whole number of requests or tokens; US dollars as a number or a string, with at most nine decimals.
    #[schema(value_type = Value)]
    amount: Box<RawValue>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LimitsQuery {
    /// Give what comes after the item of this id: the `last_id` of the page before.
    after: Option<String>,
    /// At most this many; 20 where it is not said.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Of this tenant only.
    tenant_id: Option<String>,
}

/// List limits, newest first.
#[utoipa::path(get, path = "/admin/v1/limits", tag = "Limits", params(LimitsQuery), responses((status = 200, body = List<LimitObject>)))]
pub(super) async fn list(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<LimitsQuery>,
) -> Result<Json<List<LimitObject>>, ApiError> {
    let limit = bounds::limit(query.limit.as_deref())?;
    let (tenant, after) = (query.tenant_id.map(TenantId::from_string), query.after.map(LimitId::from_string));
    let rows = app.gateway.store.list_limits(tenant.as_ref(), after.as_ref(), limit).await?;
    Ok(Json(page(rows, to_wire, |limit| &limit.id)))
}

/// Make a limit.
#[utoipa::path(post, path = "/admin/v1/limits", tag = "Limits", request_body = CreateLimit, responses((status = 201, body = LimitObject)))]
pub(super) async fn create(
    State(app): State<App>,
    by: By,
    ApiJson(body): ApiJson<CreateLimit>,
) -> Result<(StatusCode, Json<LimitObject>), ApiError> {
    let limit = to_limit(body)?;
    let row = app.gateway.store.create_limit(&by.author, &limit).await?;
    Ok((StatusCode::CREATED, Json(to_wire(row))))
}

/// Read a limit.
#[utoipa::path(get, path = "/admin/v1/limits/{id}", tag = "Limits", responses((status = 200, body = LimitObject)))]
pub(super) async fn one(State(app): State<App>, ApiPath(id): ApiPath) -> Result<Json<LimitObject>, ApiError> {
    let row = app.gateway.store.limit(&LimitId::from_string(&id)).await?;
    Ok(Json(to_wire(row.ok_or_else(|| no_such("limit", &id))?)))
}

/// Give a limit another amount.
#[utoipa::path(patch, path = "/admin/v1/limits/{id}", tag = "Limits", request_body = PatchLimit, responses((status = 200, body = LimitObject)))]
pub(super) async fn patch(
    State(app): State<App>,
    by: By,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<PatchLimit>,
) -> Result<Json<LimitObject>, ApiError> {
    let store = &app.gateway.store;
    let limit = LimitId::from_string(&id);
    // The kind of a limit never changes: what is read here still holds when the amount is written.
    let known = store.limit(&limit).await?.ok_or_else(|| no_such("limit", &id))?;
    let amount = amount(known.limit.kind, &body.amount)?;
    let row = store.patch_limit(&by.author, &limit, amount).await?;
    Ok(Json(to_wire(row.ok_or_else(|| no_such("limit", &id))?)))
}

/// Delete a limit.
#[utoipa::path(delete, path = "/admin/v1/limits/{id}", tag = "Limits", responses((status = 200, body = Deleted)))]
pub(super) async fn delete(State(app): State<App>, by: By, ApiPath(id): ApiPath) -> Result<Json<Deleted>, ApiError> {
    let row = app.gateway.store.delete_limit(&by.author, &LimitId::from_string(&id)).await?;
    let row = row.ok_or_else(|| no_such("limit", &id))?;
    Ok(Json(Deleted::new("limit", row.limit.id)))
}

fn to_limit(body: CreateLimit) -> Result<Limit> {
    let kind = word("kind", &body.kind, LimitKind::parse, &LimitKind::ALL.map(LimitKind::as_str))?;
    let subject_kind = body.subject_kind.as_deref().unwrap_or("tenant");
    let subject_kind =
        word("subject_kind", subject_kind, SubjectKind::parse, &SubjectKind::ALL.map(SubjectKind::as_str))?;
    let subject = match (subject_kind, body.subject) {
        (_, Some(subject)) => bounds::name("subject", subject)?,
        (SubjectKind::Tenant, None) => body.tenant_id.clone(),
        (_, None) => return Err(invalid("subject", "`subject` must name the key or principal.".to_owned())),
    };
    Ok(Limit {
        id: LimitId::generate(),
        tenant: TenantId::from_string(bounds::name("tenant_id", body.tenant_id)?),
        subject_kind,
        subject,
        model: body.model.map(|model| bounds::name("model", model)).transpose()?,
        kind,
        amount: amount(kind, &body.amount)?,
    })
}

fn word<T>(param: &str, given: &str, parse: impl Fn(&str) -> Option<T>, allowed: &[&str]) -> Result<T> {
    parse(given).ok_or_else(|| {
        let shown: String = given.chars().take(64).collect();
        invalid(param, format!("Invalid value: '{shown}'. Supported values are: '{}'.", allowed.join("', '")))
    })
}

/// Reads the text of the number: a float would have changed it already.
fn amount(kind: LimitKind, given: &RawValue) -> Result<i64> {
    let text = given.get();
    if kind.is_budget() {
        let dollars = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        return Money::from_usd(dollars).map(Money::nanos).ok_or_else(|| {
            let text = "The `amount` of a budget is a number of US dollars, as `12.5` or `\"12.5\"`, with at most nine decimals.";
            invalid("amount", text.to_owned())
        });
    }
    text.parse().map_err(|_| {
        invalid("amount", format!("The `amount` of a limit of kind `{}` is a whole number.", kind.as_str()))
    })
}

fn to_wire(row: LimitRow) -> LimitObject {
    let LimitRow { limit, created_at_ms } = row;
    let amount = match limit.kind.is_budget() {
        true => Money::from_nanos(limit.amount).to_usd().into(),
        false => limit.amount.into(),
    };
    LimitObject {
        id: limit.id.to_string(),
        object: "limit",
        tenant_id: limit.tenant.to_string(),
        subject_kind: limit.subject_kind.as_str(),
        subject: limit.subject,
        model: limit.model,
        kind: limit.kind.as_str(),
        amount,
        created_at: secs(created_at_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(kind: LimitKind, json: &str) -> Result<i64> {
        amount(kind, &RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn dollars_lose_nothing_on_the_way() {
        for (json, nanos) in
            [("0.1", 100_000_000), ("\"0.3\"", 300_000_000), ("900719925.474099301", 900_719_925_474_099_301)]
        {
            assert_eq!(judge(LimitKind::UsdPerDay, json).unwrap(), nanos, "{json}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for json in ["\"\"", "\"ten\"", "null", "[1]", "0.0000000001", "true", "\"\\u0031\""] {
            assert_eq!(judge(LimitKind::UsdTotal, json).unwrap_err().param(), Some("amount"), "{json}");
        }
        for json in ["1.5", "\"5\"", "1e3", "99999999999999999999", "null"] {
            assert!(judge(LimitKind::TokensPerMinute, json).is_err(), "{json}");
        }
    }
}
