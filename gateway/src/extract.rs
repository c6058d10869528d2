//! Reading requests: content types, bounded bodies, JSON and query strings, with every refusal in the API's shape.

use crate::app::{App, Bounds};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Multipart, Path, Query, Request, rejection::PathRejection},
};
use bytes::Bytes;
use chassis::http::ApiError;
use domain::{Error, Kind, Result};
use futures::{StreamExt, future::ready, stream};
use http::{
    HeaderMap,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::task::yield_now;

const FORM: &str = "multipart/form-data";

/// A whole JSON body, not looked into yet.
pub(crate) struct JsonBytes(pub(crate) Bytes);

/// A JSON body of a known shape.
pub(crate) struct ApiJson<T>(pub(crate) T);

/// The one variable part of a path.
pub(crate) struct ApiPath(pub(crate) String);

/// The two variable parts of a path.
pub(crate) struct ApiPaths(pub(crate) String, pub(crate) String);

/// A query string of a known shape.
pub(crate) struct ApiQuery<T>(pub(crate) T);

/// A multipart form.
pub(crate) struct ApiForm(pub(crate) Multipart);

impl FromRequest<App> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let (parts, body) = request.into_parts();
        Ok(Self(read(&parts.headers, body, app.bounds).await?))
    }
}

impl<T: DeserializeOwned> FromRequest<App> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let JsonBytes(body) = JsonBytes::from_request(request, app).await?;
        Ok(Self(parse(&body)?))
    }
}

impl FromRequestParts<App> for ApiPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, app).await.map_err(bad_path)?;
        Ok(Self(id))
    }
}

impl FromRequestParts<App> for ApiPaths {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Path((first, second)) = Path::<(String, String)>::from_request_parts(parts, app).await.map_err(bad_path)?;
        Ok(Self(first, second))
    }
}

impl<T: DeserializeOwned> FromRequestParts<App> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let Query(query) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            Error::invalid(format!("The query string can't be read: {}.", rejection.body_text()))
        })?;
        Ok(Self(query))
    }
}

impl<S: Send + Sync> FromRequest<S> for ApiForm {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let given = content_type(request.headers());
        let essence = given.get(..FORM.len()).unwrap_or_default();
        if !essence.eq_ignore_ascii_case(FORM) {
            return Err(unsupported(given, FORM).into());
        }
        let form = Multipart::from_request(request.map(with_an_end_of_its_own), state).await.map_err(|rejection| {
            Error::invalid("The multipart form can't be read: its content type names no boundary.")
                .with_source(rejection)
        })?;
        Ok(Self(form))
    }
}

/// The same body, whose end comes in another turn than its last bytes. multer 3.1.0 takes a form for cut when all of it and its end arrive
/// between its first two looks (its pull request 70).
fn with_an_end_of_its_own(body: Body) -> Body {
    let another_turn = stream::once(yield_now()).filter_map(|()| ready(None));
    Body::from_stream(body.into_data_stream().chain(another_turn))
}

/// A multipart form, or JSON in its place.
pub(crate) enum FormOrJson {
    Form(Multipart),
    Json(Bytes),
}

impl FromRequest<App> for FormOrJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        if require_json(request.headers()).is_ok() {
            let JsonBytes(body) = JsonBytes::from_request(request, app).await?;
            return Ok(Self::Json(body));
        }
        let ApiForm(form) = ApiForm::from_request(request, app).await?;
        Ok(Self::Form(form))
    }
}

fn bad_path(rejection: PathRejection) -> Error {
    Error::invalid("The id in the path is not valid UTF-8.").with_source(rejection)
}

fn require_json(headers: &HeaderMap) -> Result<()> {
    // What nearly everybody says needs no taking apart.
    if headers.get(CONTENT_TYPE).is_some_and(|value| value == "application/json") {
        return Ok(());
    }
    let given = content_type(headers);
    let essence = given.split(';').next().unwrap_or_default().trim();
    let is_json = match essence.split_once('/') {
        Some((kind, name)) if kind.eq_ignore_ascii_case("application") => {
            let suffix = name.rsplit_once('+').map_or(name, |(_, suffix)| suffix);
            suffix.eq_ignore_ascii_case("json")
        }
        _ => false,
    };
    if is_json { Ok(()) } else { Err(unsupported(given, "application/json")) }
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

fn unsupported(given: &str, wanted: &str) -> Error {
    let given = if given.is_empty() { "no content type".to_owned() } else { format!("`{given}`") };
    Error::new(Kind::UnsupportedMediaType, format!("This request has {given}; send `Content-Type: {wanted}`."))
}

/// A field that may be left out, or be null to take back what was set: use with `#[serde(default, deserialize_with = ...)]`.
pub(crate) fn or_null<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// The whole body of a request, within the bound.
pub(crate) async fn read(headers: &HeaderMap, body: Body, bounds: Bounds) -> Result<Bytes> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > bounds.json_bytes as u64) {
        return Err(too_large(bounds.json_bytes));
    }
    let body = Limited::new(body, bounds.json_bytes);
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(bounds.json_bytes)),
        Err(error) => Err(Error::invalid("The request ended before its body was complete.").with_source(error)),
    }
}

fn too_large(limit: usize) -> Error {
    Error::new(Kind::TooLarge, format!("The body of the request is larger than the {limit} bytes allowed."))
}

/// JSON of a known shape.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        let message = if cause.is_data() {
            format!("The body of the request is not of the right shape: {cause}.")
        } else {
            format!("The body of the request is not valid JSON: {cause}.")
        };
        let error = Error::invalid(message);
        if path.is_empty() || path == "." { error } else { error.with_param(path) }
    })?;
    json.end().map_err(|cause| Error::invalid(format!("The body of the request is not valid JSON: {cause}.")))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn judge(value: &'static str) -> Result<()> {
        require_json(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
    }

    #[test]
    fn json_comes_under_several_names() {
        for value in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"] {
            assert!(judge(value).is_ok(), "{value}");
        }
    }

    #[test]
    fn anything_else_is_a_415() {
        for value in ["", "text/plain", "application/x-www-form-urlencoded", "text/json-ish", "application/jsonl"] {
            assert_eq!(judge(value).unwrap_err().kind(), Kind::UnsupportedMediaType, "{value}");
        }
    }

    #[tokio::test]
    async fn a_form_that_arrives_at_once_after_the_first_look_is_whole() {
        const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\na\r\n--b--\r\n";
        let late = stream::once(yield_now()).map(|()| Ok::<_, std::io::Error>(Bytes::from_static(FORM.as_bytes())));
        let request = Request::builder().header(CONTENT_TYPE, "multipart/form-data; boundary=b");
        let request = request.body(Body::from_stream(late)).unwrap();

        let Ok(ApiForm(mut form)) = ApiForm::from_request(request, &()).await else { panic!("it is a form") };

        let field = form.next_field().await.unwrap().unwrap();
        assert_eq!(field.text().await.unwrap(), "a");
    }

    #[test]
    fn a_wrong_type_names_its_parameter() {
        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            #[expect(dead_code, reason = "only its type matters")]
            inner: u8,
        }

        let error = parse::<Outer>(br#"{"inner":"x"}"#).unwrap_err();

        assert_eq!(error.param(), Some("inner"));
    }
}
