//! What was sent to a webhook and is still to be, and sending it again.

use super::{
    find,
    objects::{self, DeliveryObject},
};
use crate::{
    admin::bounds::{self, invalid, no_such},
    app::App,
    extract::{ApiPath, ApiPaths, ApiQuery},
    openapi::words::DeliveryStatusWord,
};
use axum::{Extension, Json, extract::State};
use chassis::http::ApiError;
use domain::{DeliveryId, DeliveryStatus, RequestContext, Result};
use serde::Deserialize;
use utoipa::IntoParams;
use wire::batch::List;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// Give what comes after the item of this id: the `last_id` of the page before.
    after: Option<String>,
    /// At most this many; 20 where it is not said.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Of this status only.
    #[param(value_type = Option<DeliveryStatusWord>)]
    status: Option<String>,
}

/// List what was sent to a webhook and is still to be, newest first, each with its attempts.
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries", tag = "Webhooks", params(DeliveriesQuery), responses((status = 200, body = List<DeliveryObject>)))]
pub(super) async fn list(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
    ApiQuery(query): ApiQuery<DeliveriesQuery>,
) -> Result<Json<List<DeliveryObject>>, ApiError> {
    let limit = bounds::limit(query.limit.as_deref())?;
    let status = query.status.as_deref().map(to_status).transpose()?;
    let after = query.after.map(DeliveryId::from_string);
    let webhook = find(&app.gateway, &context, &id).await?;
    let (rows, has_more) = app.gateway.store.list_deliveries(&webhook.id, status, (after.as_ref(), limit)).await?;
    let page = rows.into_iter().map(objects::delivery).collect::<Result<_>>()?;
    Ok(Json(List::new(page, has_more, |delivery: &DeliveryObject| &delivery.id)))
}

/// Send an event of the type `webhook.test`, whichever events the webhook wants. What came of it is among its deliveries.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", tag = "Webhooks", responses((status = 200, body = DeliveryObject)))]
pub(super) async fn test(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
) -> Result<Json<DeliveryObject>, ApiError> {
    let webhook = find(&app.gateway, &context, &id).await?;
    Ok(Json(objects::delivery(app.gateway.store.test_webhook(&webhook).await?)?))
}

/// Send now what is still to be sent; send again, as another delivery of the same event, what has ended.
#[utoipa::path(post, path = "/v1/webhooks/{id}/deliveries/{delivery}/replay", tag = "Webhooks", responses((status = 200, body = DeliveryObject)))]
pub(super) async fn replay(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPaths(id, delivery): ApiPaths,
) -> Result<Json<DeliveryObject>, ApiError> {
    let webhook = find(&app.gateway, &context, &id).await?;
    let row = app.gateway.store.replay_delivery(&webhook, &DeliveryId::from_string(&delivery)).await?;
    Ok(Json(objects::delivery(row.ok_or_else(|| no_such("delivery", &delivery))?)?))
}

fn to_status(word: &str) -> Result<DeliveryStatus> {
    DeliveryStatus::parse(word).ok_or_else(|| {
        let allowed = DeliveryStatus::ALL.map(DeliveryStatus::as_str).join("', '");
        let shown: String = word.chars().take(64).collect();
        invalid("status", format!("Invalid value: '{shown}'. Supported values are: '{allowed}'."))
    })
}
