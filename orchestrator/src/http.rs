//! The internal service: a [`ModelBackend`] for other processes. It believes what its callers say of tenants and keys, so
//! `access` lets nobody else through.

use crate::{
    Access, DeploymentInfo, Dialect, ModelBackend, ModelInfo, ModelRequest, ModelResponse, access,
    link::{self, AnswerHead, CALL_PATH, DEPLOYMENTS_PATH, MODELS_PATH},
};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    middleware,
    response::Response,
    routing::{get, post},
};
use chassis::http::ApiError;
use domain::Error;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use std::{convert::Infallible, sync::Arc};

/// The edge has its own, smaller limit.
const MAX_BODY_BYTES: usize = 256 << 20;

type Backend = Arc<dyn ModelBackend>;

/// Serves `backend` to `RemoteBackend`s that `access` allows.
pub fn routes(backend: Arc<dyn ModelBackend>, access: Access) -> Router {
    Router::new()
        .route(&format!("{CALL_PATH}{{dialect}}"), post(call))
        .route(MODELS_PATH, get(models))
        .route(DEPLOYMENTS_PATH, get(deployments))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .route_layer(middleware::from_fn_with_state(access, access::require))
        .with_state(backend)
}

async fn call(
    State(backend): State<Backend>,
    Path(dialect): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let dialect = Dialect::ALL
        .into_iter()
        .find(|known| known.as_str() == dialect)
        .ok_or_else(|| Error::not_found(format!("There is no dialect `{dialect}`.")))?;
    let mut request = ModelRequest::parse(dialect, body)?;
    request.betas = headers.get(link::BETAS).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let answer = backend.call(&link::from_headers(&headers), request).await?;
    Ok(to_response(answer))
}

async fn models(State(backend): State<Backend>) -> Result<Json<Vec<ModelInfo>>, ApiError> {
    Ok(Json(backend.models().await?))
}

async fn deployments(State(backend): State<Backend>) -> Result<Json<Vec<DeploymentInfo>>, ApiError> {
    Ok(Json(backend.deployments().await?))
}

fn to_response(answer: ModelResponse) -> Response {
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).ok();
    let headers = answer.headers.iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?)));
    let head = AnswerHead { served: answer.served, status: answer.status.as_u16(), headers: headers.collect() };
    let head = stream::iter([link::encode_head(&head)]);
    let progress = answer.body.progress();
    let frames = answer.body.map(move |frame| link::encode_frame(frame, progress.tokens()));
    let mut response = Response::new(Body::from_stream(head.chain(frames).map(Ok::<_, Infallible>)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(link::CONTENT_TYPE));
    response
}
