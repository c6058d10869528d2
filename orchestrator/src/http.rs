//! The internal service: a [`ModelBackend`] for other processes. It believes what its callers say of tenants and keys, so
//! `access` lets nobody else through.

use crate::{
    Access, DeploymentInfo, Dialect, Frame, ModelBackend, ModelInfo, ModelRequest, ModelResponse, Outcome, Sending,
    access,
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
use domain::{Error, RequestContext};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::Notify;

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
    let ctx = link::from_headers(&headers);
    if headers.contains_key(link::TELL_SENDING) {
        return Ok(framed(telling(backend, ctx, request)));
    }
    let answer = backend.call(&ctx, request).await?;
    Ok(framed(pieces(answer)))
}

/// The answer of a call that begins before there is one, to say when the request goes out. An error is its end then.
fn telling(backend: Backend, ctx: RequestContext, mut request: ModelRequest) -> impl Stream<Item = Bytes> + Send {
    let sent = Arc::new(Notify::new());
    let told = sent.clone();
    request.sending = Some(Sending::new(move || told.notify_one()));
    async_stream::stream! {
        let mut call = backend.call(&ctx, request);
        let answered = loop {
            tokio::select! {
                biased;
                () = sent.notified() => yield link::encode_sending(),
                answered = &mut call => break answered,
            }
        };
        match answered {
            Ok(answer) => {
                let mut pieces = pieces(answer);
                while let Some(piece) = pieces.next().await {
                    yield piece;
                }
            }
            Err(error) => {
                let outcome = Box::new(Outcome { error: Some(error), ..Outcome::default() });
                yield link::encode_frame(Frame::End(outcome), 0);
            }
        }
    }
}

async fn models(State(backend): State<Backend>) -> Result<Json<Vec<ModelInfo>>, ApiError> {
    Ok(Json(backend.models().await?))
}

async fn deployments(State(backend): State<Backend>) -> Result<Json<Vec<DeploymentInfo>>, ApiError> {
    Ok(Json(backend.deployments().await?))
}

fn pieces(answer: ModelResponse) -> impl Stream<Item = Bytes> + Send {
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).ok();
    let headers = answer.headers.iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?)));
    let head = AnswerHead { served: answer.served, status: answer.status.as_u16(), headers: headers.collect() };
    let head = stream::iter([link::encode_head(&head)]);
    let progress = answer.body.progress();
    head.chain(answer.body.map(move |frame| link::encode_frame(frame, progress.tokens())))
}

fn framed(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(pieces.map(Ok::<_, Infallible>)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(link::CONTENT_TYPE));
    response
}
