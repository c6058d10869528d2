//! Errors at the paths of Anthropic's API are told in Anthropic's words, whoever had them: the key's check, the reading of the
//! body or the model.

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::header::CONTENT_LENGTH;
use wire::error::ErrorBody;

/// Rewrites the errors that the inner layers answer.
pub(crate) async fn of_anthropic(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match response.extensions().get::<ErrorBody>().cloned() {
        Some(told) => rewrite(response, &told),
        None => response,
    }
}

fn rewrite(response: Response, told: &ErrorBody) -> Response {
    let (mut parts, _) = response.into_parts();
    let body = wire::messages::error_body(parts.status.as_u16(), &told.error.message).to_string();
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body)).into_response()
}
