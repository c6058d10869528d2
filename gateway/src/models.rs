//! `GET /v1/models`: what may be named in `model`.

use crate::{app::App, extract::ApiPath};
use axum::{Json, extract::State};
use chassis::http::ApiError;
use domain::Error;
use orchestrator::ModelInfo;
use serde::Serialize;
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

/// `GET /v1/models`
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Models>, ApiError> {
    let models = app.gateway.backend.models().await?;
    Ok(Json(Models { object: "list", data: models.into_iter().map(Model::from).collect() }))
}

/// `GET /v1/models/{id}`
pub(crate) async fn one(State(app): State<App>, ApiPath(id): ApiPath) -> Result<Json<Model>, ApiError> {
    let models = app.gateway.backend.models().await?;
    let model = models.into_iter().find(|model| model.id == id).ok_or_else(|| {
        Error::not_found(format!("The model `{id}` does not exist or you do not have access to it."))
            .with_code("model_not_found")
            .with_param("model")
    })?;
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
