//! `GET /v1/models`: what may be named in `model`.

use crate::{app::App, extract::ApiPath, identity};
use axum::{Extension, Json, extract::State};
use chassis::http::ApiError;
use domain::Caller;
use orchestrator::ModelInfo;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A model in OpenAI's shape, with the context length that vLLM adds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Model {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_model_len: Option<u64>,
}

/// Every model, as OpenAI lists them: without pages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Models {
    object: &'static str,
    data: Vec<Model>,
}

/// `GET /v1/models`: those that the caller may ask.
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Json<Models>, ApiError> {
    let models = app.gateway.backend.models().await?.into_iter();
    let data = models.filter(|model| caller.models.allows(&model.id)).map(Model::from).collect();
    Ok(Json(Models { object: "list", data }))
}

/// `GET /v1/models/{id}`
pub(crate) async fn one(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    ApiPath(id): ApiPath,
) -> Result<Json<Model>, ApiError> {
    identity::require_model(&caller, &id)?;
    let models = app.gateway.backend.models().await?;
    let model = models.into_iter().find(|model| model.id == id).ok_or_else(|| identity::no_such_model(&id))?;
    Ok(Json(model.into()))
}

impl Model {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl From<ModelInfo> for Model {
    fn from(model: ModelInfo) -> Self {
        Self {
            id: model.id,
            object: "model",
            created: model.created,
            owned_by: model.owned_by,
            max_model_len: model.max_model_len,
        }
    }
}
