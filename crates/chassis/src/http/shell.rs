//! What surrounds every route: a request id, a place in the trace, a deadline, and errors in the API's shape
//! whoever made them. One layer, because each further one costs every request a few microseconds.

use super::{ApiError, HttpSettings, body::Tracked, cors, error::plain, metrics::HttpMetrics};
use crate::trace;
use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use domain::{Error, Kind, RequestId};
use futures::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS},
};
use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::{Instrument, Span, field::Empty};

/// Names a request in both directions.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

struct Shell {
    max_body_bytes: usize,
    max_header_bytes: usize,
    timeout: Duration,
    metrics: HttpMetrics,
}

/// Puts the shell round `router`; call it once, after the last route was added and telemetry has started.
///
/// Handlers find [`RequestId`] and [`domain::TraceContext`] in the request's extensions.
pub fn shell(router: Router, settings: &HttpSettings) -> Router {
    let shell = Shell {
        max_body_bytes: settings.max_body_bytes,
        max_header_bytes: settings.max_header_bytes,
        timeout: settings.request_timeout,
        metrics: HttpMetrics::new(),
    };
    let router = router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(settings.max_body_bytes))
        .layer(middleware::from_fn_with_state(Arc::new(shell), surround));
    cors::allow(router, &settings.cors_origins)
}

async fn no_such_path(method: Method, uri: Uri) -> ApiError {
    ApiError(Error::not_found(format!("There is no {method} {}.", uri.path())).with_code("unknown_url"))
}

async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    let text = format!("{} does not accept {method}; the `allow` header names what it does.", uri.path());
    ApiError(Error::new(Kind::MethodNotAllowed, text).with_code("method_not_allowed"))
}

async fn surround(State(shell): State<Arc<Shell>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let in_flight = shell.metrics.enter();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);

    let id = request_id(request.headers());
    let span = request_span(&method, route, &id);
    let trace = trace::adopt(&span, trace::from_headers(request.headers()));
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(trace);

    let response = shell.answer(request, next).instrument(span.clone()).await;
    let status = response.status().as_u16();
    shell.metrics.answered(&method, route, status, started.elapsed());
    span.record("http.response.status_code", status);
    let mut response = response.map(|body| Tracked::wrap(body, span, in_flight));
    let id = HeaderValue::from_str(id.as_str()).expect("visible ASCII is a header value");
    response.headers_mut().insert(X_REQUEST_ID, id);
    harden(response.headers_mut());
    response
}

/// What keeps a browser from making more of an answer than it is.
fn harden(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

impl Shell {
    async fn answer(&self, request: Request, next: Next) -> Response {
        if header_bytes(request.headers()) > self.max_header_bytes {
            return self.headers_too_large();
        }
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(response)) => self.in_api_shape(response),
            // The panic hook has logged it.
            Ok(Err(_panic)) => plain(&Error::internal("a handler panicked"), StatusCode::INTERNAL_SERVER_ERROR),
            Err(_elapsed) => {
                let text = format!("The request got no answer within {} seconds.", self.timeout.as_secs_f64());
                ApiError(Error::new(Kind::Timeout, text).with_code("request_timeout")).into_response()
            }
        }
    }

    fn headers_too_large(&self) -> Response {
        let text = format!("The request's headers are larger than {} bytes.", self.max_header_bytes);
        let error = Error::invalid(text).with_code("headers_too_large");
        plain(&error, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    }

    /// Extractors refuse in plain text and with their own words; clients of this API parse JSON.
    fn in_api_shape(&self, response: Response) -> Response {
        let status = response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        if !is_error || !is_plain(response.headers()) {
            return response;
        }
        let error = self.error_for(status);
        let (mut parts, _text) = response.into_parts();
        let (shaped, body) = ApiError(error).into_response().into_parts();
        parts.status = shaped.status;
        parts.headers.remove(http::header::CONTENT_LENGTH);
        parts.headers.extend(shaped.headers);
        Response::from_parts(parts, body)
    }

    fn error_for(&self, status: StatusCode) -> Error {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Error::new(
                Kind::TooLarge,
                format!("The request body is too large: {} bytes, where nothing else is said.", self.max_body_bytes),
            ),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Error::new(Kind::UnsupportedMediaType, "The request's content type is not one this endpoint reads.")
            }
            StatusCode::NOT_FOUND => Error::not_found("There is no such thing."),
            StatusCode::METHOD_NOT_ALLOWED => Error::new(Kind::MethodNotAllowed, "The method is not allowed here."),
            status if status.is_client_error() => Error::invalid("The request could not be read."),
            status => Error::internal(format!("a handler answered {status} without an error body")),
        }
    }
}

fn is_plain(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| value.as_bytes().starts_with(b"text/plain"))
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// The client's own name for the request if it can be echoed and logged safely, else a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers.get(X_REQUEST_ID).map(HeaderValue::as_bytes);
    let given = given.filter(|id| (1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic));
    match given.and_then(|id| std::str::from_utf8(id).ok()) {
        Some(id) => RequestId::from_string(id),
        None => RequestId::generate(),
    }
}

/// At the highest level, so that no log filter takes the request's names away from the lines it lets through.
fn request_span(method: &Method, route: &str, id: &RequestId) -> Span {
    tracing::error_span!(
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        request_id = id.as_str(),
        trace_id = Empty,
        http.request.method = method.as_str(),
        http.route = route,
        http.response.status_code = Empty,
    )
}
