//! `/v1/webhooks`: where a tenant wants to be told of its batches. A webhook is made and read here; workers send to it.

mod deliveries;
mod objects;

use crate::{
    admin::{
        access::{self, By},
        bounds::{self, Deleted, ListQuery, invalid, no_such},
    },
    app::{App, Gateway},
    extract::{ApiJson, ApiPath, ApiQuery},
    openapi::words::EventWord,
};
use axum::{
    Extension, Json, Router,
    extract::State,
    middleware,
    routing::{get, post},
};
use chassis::http::ApiError;
use domain::{BatchEventKind, RequestContext, Result, WebhookId, judge_note};
use http::StatusCode;
use objects::{NewWebhookObject, WebhookObject};
use secrecy::ExposeSecret;
use serde::Deserialize;
use store::{NewWebhook, WebhookPatch, WebhookRow};
use utoipa::{OpenApi, ToSchema};
use wire::batch::List;

const DAY_SECS: u64 = 86_400;
const LONGEST_GRACE_SECS: u64 = 7 * DAY_SECS;

/// The routes, for callers with the scope `batches`: the caller of this puts the guard before them.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/webhooks", get(list).post(create))
        .route("/v1/webhooks/{id}", get(one).patch(patch).delete(delete))
        .route("/v1/webhooks/{id}/rotate_secret", post(rotate_secret))
        .route("/v1/webhooks/{id}/test", post(deliveries::test))
        .route("/v1/webhooks/{id}/deliveries", get(deliveries::list))
        .route("/v1/webhooks/{id}/deliveries/{delivery}/replay", post(deliveries::replay))
        // Answers may hold a secret.
        .route_layer(middleware::map_response(access::kept_by_nobody))
}

/// The routes as OpenAPI describes them.
#[derive(OpenApi)]
#[openapi(paths(
    list,
    create,
    one,
    patch,
    delete,
    rotate_secret,
    deliveries::test,
    deliveries::list,
    deliveries::replay
))]
pub(crate) struct WebhooksApi;

/// A webhook to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateWebhook {
    /// An `https` URL of a host that everybody can reach, without user or fragment.
    #[schema(max_length = 2_048)]
    url: String,
    /// Which events it wants.
    #[schema(value_type = Vec<EventWord>, min_items = 1, max_items = 32)]
    events: Vec<String>,
    /// What its owner wants to remember.
    #[serde(default)]
    #[schema(max_length = 4_096)]
    description: String,
    /// Whether it gets any; true where it is not said.
    enabled: Option<bool>,
}

/// A change of a webhook; what is not named stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PatchWebhook {
    /// An `https` URL of a host that everybody can reach, without user or fragment.
    #[schema(max_length = 2_048)]
    url: Option<String>,
    /// Which events it wants.
    #[schema(value_type = Option<Vec<EventWord>>, min_items = 1, max_items = 32)]
    events: Option<Vec<String>>,
    /// What its owner wants to remember.
    #[schema(max_length = 4_096)]
    description: Option<String>,
    /// Whether it gets any. True also forgets that it failed.
    enabled: Option<bool>,
}

/// Another secret for a webhook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotateSecret {
    /// For how long the secret before it signs along, in seconds, at most 7 days; a day where it is not said.
    #[schema(maximum = 604_800)]
    grace_secs: Option<u64>,
}

/// List webhooks, newest first.
#[utoipa::path(get, path = "/v1/webhooks", tag = "Webhooks", params(ListQuery), responses((status = 200, body = List<WebhookObject>)))]
async fn list(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<List<WebhookObject>>, ApiError> {
    let after = query.after(WebhookId::from_string);
    let rows = app.gateway.store.list_webhooks(&context.tenant, after.as_ref(), query.limit()?).await?;
    Ok(Json(bounds::page(rows, objects::webhook, |webhook| &webhook.id)))
}

/// Make a webhook. Its secret is in this answer only.
#[utoipa::path(post, path = "/v1/webhooks", tag = "Webhooks", request_body = CreateWebhook, responses((status = 201, body = NewWebhookObject)))]
async fn create(
    State(app): State<App>,
    by: By,
    ApiJson(body): ApiJson<CreateWebhook>,
) -> Result<(StatusCode, Json<NewWebhookObject>), ApiError> {
    let registrar = &app.gateway.registrar;
    let (url, events) = (registrar.judge_url(&body.url)?, to_events(&body.events)?);
    let description = description(body.description)?;
    let id = WebhookId::generate();
    let (secret, sealed) = registrar.new_secret(&id)?;
    let new = NewWebhook {
        id,
        tenant: by.caller.tenant.clone(),
        url,
        description,
        events,
        is_enabled: body.enabled.unwrap_or(true),
        secret: sealed,
    };
    let row = app.gateway.store.create_webhook(&by.author, &new, registrar.most()).await?;
    Ok((StatusCode::CREATED, Json(objects::new_webhook(row, secret.expose_secret()))))
}

/// Read a webhook.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "Webhooks", responses((status = 200, body = WebhookObject)))]
async fn one(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
) -> Result<Json<WebhookObject>, ApiError> {
    Ok(Json(objects::webhook(find(&app.gateway, &context, &id).await?)))
}

/// Change a webhook.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "Webhooks", request_body = PatchWebhook, responses((status = 200, body = WebhookObject)))]
async fn patch(
    State(app): State<App>,
    by: By,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<PatchWebhook>,
) -> Result<Json<WebhookObject>, ApiError> {
    let patch = WebhookPatch {
        url: body.url.map(|url| app.gateway.registrar.judge_url(&url)).transpose()?,
        description: body.description.map(description).transpose()?,
        events: body.events.as_deref().map(to_events).transpose()?,
        is_enabled: body.enabled,
    };
    let key = (&by.caller.tenant, &WebhookId::from_string(&id));
    let row = app.gateway.store.patch_webhook(&by.author, key, &patch).await?;
    Ok(Json(objects::webhook(row.ok_or_else(|| no_such("webhook", &id))?)))
}

/// Delete a webhook, what is on its way to it, and the log.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "Webhooks", responses((status = 200, body = Deleted)))]
async fn delete(State(app): State<App>, by: By, ApiPath(id): ApiPath) -> Result<Json<Deleted>, ApiError> {
    let webhook = WebhookId::from_string(&id);
    if !app.gateway.store.delete_webhook(&by.author, &by.caller.tenant, &webhook).await? {
        return Err(no_such("webhook", &id).into());
    }
    Ok(Json(Deleted::new("webhook", id)))
}

/// Give a webhook another secret, which is in this answer only. The one before it signs along for a while.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate_secret", tag = "Webhooks", request_body = RotateSecret, responses((status = 200, body = NewWebhookObject)))]
async fn rotate_secret(
    State(app): State<App>,
    by: By,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<RotateSecret>,
) -> Result<Json<NewWebhookObject>, ApiError> {
    let grace_ms = to_grace_ms(body.grace_secs)?;
    let webhook = WebhookId::from_string(&id);
    let (secret, sealed) = app.gateway.registrar.new_secret(&webhook)?;
    let key = (&by.caller.tenant, &webhook);
    let row = app.gateway.store.rotate_webhook_secret(&by.author, key, &sealed, grace_ms).await?;
    let row = row.ok_or_else(|| no_such("webhook", &id))?;
    Ok(Json(objects::new_webhook(row, secret.expose_secret())))
}

/// The caller's webhook of that id.
async fn find(gateway: &Gateway, context: &RequestContext, id: &str) -> Result<WebhookRow> {
    let row = gateway.store.webhook(&context.tenant, &WebhookId::from_string(id)).await?;
    row.ok_or_else(|| no_such("webhook", id))
}

fn description(text: String) -> Result<String> {
    judge_note(&text).map_err(|wrong| invalid("description", format!("`description` {wrong}.")))?;
    Ok(text)
}

fn to_events(words: &[String]) -> Result<Vec<BatchEventKind>> {
    let mut events = Vec::new();
    for word in words {
        let Some(event) = BatchEventKind::parse(word) else {
            let shown: String = word.chars().take(64).collect();
            return Err(invalid("events", format!("Invalid value: '{shown}'. Supported values are: {}.", allowed())));
        };
        if !events.contains(&event) {
            events.push(event);
        }
    }
    if events.is_empty() {
        return Err(invalid("events", format!("`events` names none. Supported values are: {}.", allowed())));
    }
    Ok(events)
}

fn allowed() -> String {
    format!("'{}'", BatchEventKind::ALL.map(BatchEventKind::as_str).join("', '"))
}

fn to_grace_ms(secs: Option<u64>) -> Result<i64> {
    let secs = secs.unwrap_or(DAY_SECS);
    let ms = i64::try_from(secs).ok().filter(|_| secs <= LONGEST_GRACE_SECS).map(|secs| secs * 1_000);
    ms.ok_or_else(|| invalid("grace_secs", format!("`grace_secs` is at most {LONGEST_GRACE_SECS}, which is 7 days.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_words_each_counted_once() {
        let read = |words: &[&str]| to_events(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());

        let twice = read(&["batch.failed", "batch.completed", "batch.failed"]).unwrap();
        assert_eq!(twice, [BatchEventKind::Failed, BatchEventKind::Completed]);
        for bad in [&[][..], &["batch.danced"], &["batch.failed", "*"]] {
            assert_eq!(read(bad).unwrap_err().param(), Some("events"));
        }
    }

    #[test]
    fn a_grace_is_bounded() {
        assert_eq!(to_grace_ms(None).unwrap(), 86_400_000);
        assert_eq!(to_grace_ms(Some(0)).unwrap(), 0);
        assert!(to_grace_ms(Some(604_800)).is_ok() && to_grace_ms(Some(604_801)).is_err());
        assert!(to_grace_ms(Some(u64::MAX)).is_err());
    }
}
