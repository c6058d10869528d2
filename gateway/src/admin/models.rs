//! `/admin/v1/models`: what may be asked for, as the catalog in use says. The catalog is a file; nothing here changes it.

use super::access::By;
use crate::{app::App, models::Model};
use axum::{Json, extract::State};
use chassis::http::ApiError;
use wire::batch::List;

/// List every model in use.
#[utoipa::path(get, path = "/admin/v1/models", tag = "Models", responses((status = 200, body = List<Model>)))]
pub(super) async fn list(State(app): State<App>, by: By) -> Result<Json<List<Model>>, ApiError> {
    let mut models = app.gateway.backend.models().await?;
    models.retain(|model| by.caller.models.allows(&model.id));
    Ok(Json(List::new(models.into_iter().map(Model::from).collect(), false, Model::id)))
}
