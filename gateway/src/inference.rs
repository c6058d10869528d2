//! The calls that somebody waits for: chat, completions and embeddings. Bytes pass through as they arrive.

use crate::{app::App, extract::JsonBytes};
use axum::{Extension, body::Body, extract::State, response::Response};
use bytes::Bytes;
use chassis::http::ApiError;
use domain::{Error, RequestContext};
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use orchestrator::{Dialect, Frame, ModelBody, ModelRequest, ModelResponse};
use std::{convert::Infallible, io, time::Instant};
use tokio_util::sync::CancellationToken;

const DEPLOYMENT: HeaderName = HeaderName::from_static("x-tandem-deployment");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-tandem-attempts");

/// `POST /v1/chat/completions`
pub(crate) async fn chat(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    call(&app, &context, Dialect::Chat, body).await
}

/// `POST /v1/completions`
pub(crate) async fn completions(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    call(&app, &context, Dialect::Completions, body).await
}

/// `POST /v1/embeddings`
pub(crate) async fn embeddings(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    call(&app, &context, Dialect::Embeddings, body).await
}

async fn call(app: &App, context: &RequestContext, dialect: Dialect, body: Bytes) -> Result<Response, ApiError> {
    let request = ModelRequest::parse(dialect, body)?;
    let deadline = if request.head.stream { None } else { Instant::now().checked_add(app.limits.request_timeout) };
    let context = RequestContext { deadline, ..context.clone() };
    let cut = app.gateway.drain.expired();
    let answer = cut.run_until_cancelled(app.gateway.backend.call(&context, request)).await;
    Ok(to_response(answer.unwrap_or_else(|| Err(draining()))?, cut))
}

fn to_response(answer: ModelResponse, cut: CancellationToken) -> Response {
    let is_stream = is_event_stream(&answer.headers);
    let body = if is_stream {
        Body::from_stream(events(answer.body, cut).map(Ok::<_, Infallible>))
    } else {
        Body::from_stream(whole(answer.body, cut))
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    let headers = response.headers_mut();
    if let Ok(deployment) = HeaderValue::from_str(&answer.served_by) {
        headers.insert(DEPLOYMENT, deployment);
    }
    headers.insert(ATTEMPTS, HeaderValue::from(answer.attempts));
    response
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

/// An event stream, ended by a typed error when the process has to go before the model is done. Frames hold whole
/// events, so the error never lands inside of one.
fn events(mut body: ModelBody, cut: CancellationToken) -> impl Stream<Item = Bytes> {
    async_stream::stream! {
        loop {
            match cut.run_until_cancelled(body.next()).await {
                Some(Some(Frame::Data(bytes))) => yield bytes,
                Some(Some(Frame::End(_)) | None) => break,
                None => {
                    yield last_event(&draining());
                    break;
                }
            }
        }
    }
}

/// A body that is one document: when it can't be completed, the connection breaks instead of passing a part off as all.
fn whole(mut body: ModelBody, cut: CancellationToken) -> impl Stream<Item = io::Result<Bytes>> {
    async_stream::stream! {
        loop {
            match cut.run_until_cancelled(body.next()).await {
                Some(Some(Frame::Data(bytes))) => yield Ok(bytes),
                Some(Some(Frame::End(outcome))) => {
                    if let Some(error) = outcome.error {
                        yield Err(io::Error::other(error));
                    }
                    break;
                }
                Some(None) => break,
                None => {
                    yield Err(io::Error::other(draining()));
                    break;
                }
            }
        }
    }
}

fn last_event(error: &Error) -> Bytes {
    wire::sse::encode_data(&chassis::error_body(error).to_json())
}

fn draining() -> Error {
    Error::unavailable("This server is being replaced and can't finish the answer; send the request again.")
        .with_code("server_draining")
}
