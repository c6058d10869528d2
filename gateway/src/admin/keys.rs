//! `/admin/v1/keys`: who may ask. A secret is in one answer only: that of its making.

use super::{
    access::{By, require_within},
    bounds::{self, Deleted, invalid, name, no_such, note, secs},
};
use crate::{
    app::{App, Gateway},
    extract::{ApiJson, ApiPath, ApiQuery},
    openapi::words::ScopeWord,
};
use axum::{Json, extract::State};
use chassis::http::ApiError;
use domain::{KeyId, ModelAccess, Result, Scope, Scopes, TenantId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};
use store::{ApiKey, KeyPatch, MAX_KEY_OVERLAP, NewKey};
use utoipa::{IntoParams, ToSchema};
use wire::batch::List;

/// More models than anybody lists one by one.
const MAX_MODELS: usize = 1_000;
const MAX_ENVIRONMENT_CHARS: usize = 16;

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(super) struct KeyObject {
    /// `key_…`
    id: String,
    /// Always `key`.
    object: &'static str,
    /// Whose it is.
    tenant_id: String,
    /// What a person called it.
    name: String,
    /// What it may do.
    #[schema(value_type = Vec<ScopeWord>)]
    scopes: Vec<&'static str>,
    /// Which models it may ask; null = every one.
    models: Option<BTreeSet<String>>,
    /// What its operators want to remember.
    note: String,
    /// The beginning of its secret.
    hint: String,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds; it works until then.
    expires_at: Option<i64>,
    /// Unix seconds; written now and then.
    last_used_at: Option<i64>,
    /// Unix seconds; it was refused since then.
    revoked_at: Option<i64>,
}

/// A key and its secret, which can't be read again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewKeyObject {
    #[serde(flatten)]
    key: KeyObject,
    /// The secret.
    secret: String,
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateKey {
    /// Whose it is; the caller's tenant where it is not said.
    tenant_id: Option<String>,
    /// Not only spaces.
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    /// All but `admin` where it is not said. None that the caller lacks.
    #[schema(value_type = Option<Vec<ScopeWord>>)]
    scopes: Option<Vec<String>>,
    /// Which models it may ask; every one where it is not said. None that the caller may not ask.
    #[schema(max_items = 1_000)]
    models: Option<BTreeSet<String>>,
    /// What its operators want to remember.
    #[serde(default)]
    #[schema(max_length = 4_096)]
    note: String,
    /// A word in the secret that tells where it is used; `live` where it is not said.
    #[schema(pattern = "^[a-z0-9]{1,16}$")]
    environment: Option<String>,
    /// Unix seconds; it works until then.
    expires_at: Option<i64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct KeysQuery {
    /// Give what comes after the item of this id: the `last_id` of the page before.
    after: Option<String>,
    /// At most this many; 20 where it is not said.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Of this tenant only.
    tenant_id: Option<String>,
}

/// List keys, newest first, revoked ones too.
#[utoipa::path(get, path = "/admin/v1/keys", tag = "Keys", params(KeysQuery), responses((status = 200, body = List<KeyObject>)))]
pub(super) async fn list(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<KeysQuery>,
) -> Result<Json<List<KeyObject>>, ApiError> {
    let limit = bounds::limit(query.limit.as_deref())?;
    let (tenant, after) = (query.tenant_id.map(TenantId::from_string), query.after.map(KeyId::from_string));
    let rows = app.gateway.store.list_keys(tenant.as_ref(), after.as_ref(), limit).await?;
    Ok(Json(bounds::page(rows, to_wire, |key| &key.id)))
}

/// Make a key. Its secret is in this answer only.
#[utoipa::path(post, path = "/admin/v1/keys", tag = "Keys", request_body = CreateKey, responses((status = 201, body = NewKeyObject)))]
pub(super) async fn create(
    State(app): State<App>,
    by: By,
    ApiJson(body): ApiJson<CreateKey>,
) -> Result<(StatusCode, Json<NewKeyObject>), ApiError> {
    let store = &app.gateway.store;
    let tenant = body.tenant_id.clone().map_or_else(|| by.caller.tenant.clone(), TenantId::from_string);
    let new = to_new_key(body, store.now_ms().await?)?;
    require_within(&by.caller, new.scopes, &new.models)?;
    if store.tenant(&tenant).await?.is_none() {
        return Err(no_such("tenant", tenant.as_str()).with_param("tenant_id").into());
    }
    let (key, secret) = store.create_key_by(&by.author, &tenant, &new).await?;
    Ok((StatusCode::CREATED, Json(NewKeyObject { key: to_wire(key), secret })))
}

/// Read a key.
#[utoipa::path(get, path = "/admin/v1/keys/{id}", tag = "Keys", responses((status = 200, body = KeyObject)))]
pub(super) async fn one(State(app): State<App>, ApiPath(id): ApiPath) -> Result<Json<KeyObject>, ApiError> {
    Ok(Json(to_wire(known(&app.gateway, &id).await?)))
}

/// Revoke a key. Its record stays.
#[utoipa::path(delete, path = "/admin/v1/keys/{id}", tag = "Keys", responses((status = 200, body = Deleted)))]
pub(super) async fn revoke(State(app): State<App>, by: By, ApiPath(id): ApiPath) -> Result<Json<Deleted>, ApiError> {
    let key = known(&app.gateway, &id).await?;
    app.gateway.store.revoke_key_by(&by.author, &key.id).await?;
    Ok(Json(Deleted::new("key", key.id)))
}

/// A change of a key; what is not named stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchKey {
    /// Not only spaces.
    #[schema(min_length = 1, max_length = 256)]
    name: Option<String>,
    /// What its operators want to remember.
    #[schema(max_length = 4_096)]
    note: Option<String>,
    /// None that the caller lacks.
    #[schema(value_type = Option<Vec<ScopeWord>>)]
    scopes: Option<Vec<String>>,
    /// None that the caller may not ask.
    #[schema(max_items = 1_000)]
    models: Option<BTreeSet<String>>,
    /// Unix seconds; it works until then.
    expires_at: Option<i64>,
}

/// Another secret for a key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateKey {
    /// For how long the secret before it still works, in seconds, at most 30 days; a day where it is not said.
    #[schema(maximum = 2_592_000)]
    overlap_secs: Option<u64>,
    /// A word in the secret that tells where it is used; `live` where it is not said.
    #[schema(pattern = "^[a-z0-9]{1,16}$")]
    environment: Option<String>,
}

/// Change a key. Neither before nor after may it have more than the caller.
#[utoipa::path(patch, path = "/admin/v1/keys/{id}", tag = "Keys", request_body = PatchKey, responses((status = 200, body = KeyObject)))]
pub(super) async fn patch(
    State(app): State<App>,
    by: By,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<PatchKey>,
) -> Result<Json<KeyObject>, ApiError> {
    let store = &app.gateway.store;
    let patch = to_patch(body, store.now_ms().await?)?;
    let judge = |before: &ApiKey, after: &ApiKey| {
        require_within(&by.caller, before.scopes, &before.models)?;
        require_within(&by.caller, after.scopes, &after.models)
    };
    let key = store.patch_key_by(&by.author, &KeyId::from_string(&id), &patch, judge).await?;
    Ok(Json(to_wire(key.ok_or_else(|| no_such("working key", &id))?)))
}

/// Give a key another secret, which is in this answer only. The one before it works for a while.
#[utoipa::path(post, path = "/admin/v1/keys/{id}/rotate", tag = "Keys", request_body = RotateKey, responses((status = 200, body = NewKeyObject)))]
pub(super) async fn rotate(
    State(app): State<App>,
    by: By,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<RotateKey>,
) -> Result<Json<NewKeyObject>, ApiError> {
    let environment = to_environment(body.environment)?;
    let how = (environment.as_str(), to_overlap(body.overlap_secs)?);
    // A new secret is as good as the key: who is narrower must not get it.
    let judge = |key: &ApiKey| require_within(&by.caller, key.scopes, &key.models);
    let rotated = app.gateway.store.rotate_key_by(&by.author, &KeyId::from_string(&id), how, judge).await?;
    let (key, secret) = rotated.ok_or_else(|| no_such("working key", &id))?;
    Ok(Json(NewKeyObject { key: to_wire(key), secret }))
}

async fn known(gateway: &Gateway, id: &str) -> Result<ApiKey> {
    gateway.store.key(&KeyId::from_string(id)).await?.ok_or_else(|| no_such("key", id))
}

fn to_new_key(body: CreateKey, now_ms: i64) -> Result<NewKey> {
    Ok(NewKey {
        name: name("name", body.name)?,
        environment: to_environment(body.environment)?,
        scopes: body.scopes.map_or(Ok(Scopes::USER), |words| to_scopes(&words))?,
        models: body.models.map_or(Ok(ModelAccess::All), to_models)?,
        note: note(body.note)?,
        expires_at_ms: body.expires_at.map(|secs| to_expiry(secs, now_ms)).transpose()?,
    })
}

fn to_patch(body: PatchKey, now_ms: i64) -> Result<KeyPatch> {
    Ok(KeyPatch {
        name: body.name.map(|text| name("name", text)).transpose()?,
        note: body.note.map(note).transpose()?,
        scopes: body.scopes.map(|words| to_scopes(&words)).transpose()?,
        models: body.models.map(to_models).transpose()?,
        expires_at_ms: body.expires_at.map(|secs| to_expiry(secs, now_ms)).transpose()?.map(Some),
    })
}

fn to_overlap(secs: Option<u64>) -> Result<Duration> {
    let overlap = Duration::from_secs(secs.unwrap_or(86_400));
    if overlap <= MAX_KEY_OVERLAP {
        return Ok(overlap);
    }
    let most = MAX_KEY_OVERLAP.as_secs();
    Err(invalid("overlap_secs", format!("`overlap_secs` is at most {most}, which is 30 days.")))
}

fn to_environment(given: Option<String>) -> Result<String> {
    let given = given.unwrap_or_else(|| "live".to_owned());
    let is_fine = |text: &str| {
        (1..=MAX_ENVIRONMENT_CHARS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if is_fine(&given) {
        return Ok(given);
    }
    Err(invalid("environment", "`environment` has 1 to 16 characters, small letters and digits only.".to_owned()))
}

fn to_scopes(words: &[String]) -> Result<Scopes> {
    words.iter().try_fold(Scopes::default(), |all, word| {
        let scope = Scope::parse(word).ok_or_else(|| {
            let allowed = Scope::ALL.map(Scope::as_str).join("', '");
            let shown: String = word.chars().take(64).collect();
            invalid("scopes", format!("Invalid value: '{shown}'. Supported values are: '{allowed}'."))
        })?;
        Ok(all.with(scope))
    })
}

fn to_models(names: BTreeSet<String>) -> Result<ModelAccess> {
    if names.len() > MAX_MODELS {
        return Err(invalid("models", format!("`models` has more than {MAX_MODELS} names.")));
    }
    names.into_iter().map(|model| name("models", model)).collect::<Result<_>>().map(ModelAccess::Only)
}

fn to_expiry(secs: i64, now_ms: i64) -> Result<i64> {
    let ms = secs.checked_mul(1_000).filter(|ms| *ms > now_ms);
    ms.ok_or_else(|| invalid("expires_at", "`expires_at` is a time in the future, in Unix seconds.".to_owned()))
}

fn names(models: &ModelAccess) -> Option<BTreeSet<String>> {
    match models {
        ModelAccess::All => None,
        ModelAccess::Only(names) => Some(names.clone()),
    }
}

fn to_wire(key: ApiKey) -> KeyObject {
    KeyObject {
        id: key.id.to_string(),
        object: "key",
        tenant_id: key.tenant.to_string(),
        name: key.name,
        scopes: key.scopes.iter().map(Scope::as_str).collect(),
        models: names(&key.models),
        note: key.note,
        hint: key.hint,
        created_at: secs(key.created_at_ms),
        expires_at: key.expires_at_ms.map(secs),
        last_used_at: key.last_used_at_ms.map(secs),
        revoked_at: key.revoked_at_ms.map(secs),
    }
}
