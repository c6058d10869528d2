//! What the API looks like, as an OpenAPI 3.1 document made from the code, and a page that shows it.

mod outcomes;
mod public;
pub(crate) mod words;

use crate::{admin::AdminApi, app::App, webhooks::WebhooksApi};
use axum::{
    Router,
    response::{Html, IntoResponse},
    routing::get,
};
use http::{
    HeaderName, HeaderValue,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};
use std::sync::LazyLock;
use utoipa::{
    OpenApi,
    openapi::{
        Components, Ref, RefOr, Required, Response, ResponseBuilder,
        content::ContentBuilder,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        schema::{ObjectBuilder, Type},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

/// Pages load their style and script from here, speak to this address only, and are framed by nobody.
pub(crate) const PAGE_POLICY: [(HeaderName, HeaderValue); 1] = [(
    CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
)];

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| document().to_json().expect("a document of strings always serialises"));

#[derive(OpenApi)]
#[openapi(info(
    title = "Tandem",
    description = "A gateway and a batch engine for language models, in the words of OpenAI's API.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
), tags(
    (name = "Inference"),
    (name = "Models"),
    (name = "Files"),
    (name = "Batches"),
    (name = "Webhooks"),
    (name = "Usage"),
    (name = "Tenants"),
    (name = "Keys"),
    (name = "Limits"),
    (name = "Audit"),
    (name = "Service")
))]
struct Head;

/// The document and its page, for everybody.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/openapi.json", get(json))
        .route("/docs", get(docs))
        .route("/docs/page.css", get(style))
        .route("/docs/page.js", get(script))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "Service", security(()), responses((status = 200, body = serde_json::Value)))]
async fn json() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], DOCUMENT.as_str())
}

/// This document as a page.
#[utoipa::path(get, path = "/docs", tag = "Service", security(()), responses((status = 200, body = String, content_type = "text/html")))]
async fn docs() -> impl IntoResponse {
    (PAGE_POLICY, Html(include_str!("openapi/page.html")))
}

/// The style of the pages.
#[utoipa::path(get, path = "/docs/page.css", tag = "Service", security(()), responses((status = 200, body = String, content_type = "text/css")))]
async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "no-cache")], include_str!("openapi/page.css"))
}

/// The script of the page.
#[utoipa::path(get, path = "/docs/page.js", tag = "Service", security(()), responses((status = 200, body = String, content_type = "text/javascript")))]
async fn script() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, "no-cache")], include_str!("openapi/page.js"))
}

#[derive(OpenApi)]
#[openapi(paths(json, docs, style, script))]
struct Service;

/// The whole document.
fn document() -> utoipa::openapi::OpenApi {
    let mut document = Head::openapi();
    for part in [public::PublicApi::openapi(), WebhooksApi::openapi(), AdminApi::openapi(), Service::openapi()] {
        document.merge(part);
    }
    document.security = Some(vec![
        SecurityRequirement::new("bearer", Vec::<String>::new()),
        SecurityRequirement::new("x_api_key", Vec::<String>::new()),
    ]);
    let components = document.components.get_or_insert_default();
    add_schemes(components);
    components.responses.insert("Error".to_owned(), RefOr::T(error()));
    for (path, item) in &mut document.paths.paths {
        operations(item).for_each(|(method, operation)| complete(method, path, operation));
    }
    document
}

fn add_schemes(components: &mut Components) {
    let bearer = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some("A Tandem key, or a token.")).build();
    let key = ApiKeyValue::with_description("x-api-key", "A Tandem key, where Anthropic's clients write it.");
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("x_api_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
}

fn error() -> Response {
    let schema = Ref::from_schema_name("ErrorBody");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description("What went wrong.").content("application/json", content).build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [("get", get), ("put", put), ("post", post), ("delete", delete), ("patch", patch)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// What is the same everywhere is not said at each handler.
fn complete(method: &str, path: &str, operation: &mut Operation) {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    operation.operation_id = Some([method].into_iter().chain(words).collect::<Vec<_>>().join("_"));
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    for name in names {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        operation.parameters.get_or_insert_default().push(RefOr::T(parameter.build()));
    }
    outcomes::describe_successes(operation);
    if operation.security.is_none() {
        outcomes::add_errors(method, operation);
    }
}
