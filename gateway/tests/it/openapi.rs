//! The document describes the router, and a reader can follow it.

use crate::app::TestApp;
use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "PATCH"];

type Operations = BTreeMap<String, BTreeSet<String>>;

async fn fetch(app: &TestApp, method: &str, path: &str) -> crate::app::Answer {
    app.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
}

/// Path to methods, as the document has them.
fn described(document: &Value) -> Operations {
    let paths = document["paths"].as_object().unwrap();
    let methods = |item: &Value| item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

/// Path to methods, as the router has them. Its debug text is the only place that tells all paths.
async fn routed(app: &TestApp) -> Operations {
    let text = app.router_text();
    let (_, ids) = text.split_once("node: Node { paths: {").unwrap();
    let (ids, _) = ids.split_once('}').map(|_| ids.split_once("} }").unwrap()).unwrap();
    // Every second piece stands between quotes: `Iterator::skip`, no skipped test.
    let paths = ids.split('"').skip(1).step_by(2).map(str::to_owned);
    let mut all = Operations::new();
    for path in paths {
        let address = path.replace("{*id}", "x").replace("{id}", "x").replace("{delivery}", "x");
        let mut methods = BTreeSet::new();
        for method in METHODS {
            let body =
                Request::builder().method(method).uri(&address).header("authorization", format!("Bearer {}", app.key));
            if app.send(body.body(Body::empty()).unwrap()).await.status != StatusCode::METHOD_NOT_ALLOWED {
                methods.insert(method.to_owned());
            }
        }
        all.insert(path.replace("{*id}", "{id}"), methods);
    }
    all
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_routed() {
    let app = TestApp::start().await;

    let document = fetch(&app, "GET", "/openapi.json").await.ok();

    let routed = routed(&app).await;
    assert!(routed.len() > 20, "{routed:?}");
    assert_eq!(described(&document), routed);
}

#[tokio::test]
async fn every_reference_leads_somewhere_and_ids_are_unique() {
    let app = TestApp::start().await;

    let document = fetch(&app, "GET", "/openapi.json").await.ok();

    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(
        (&document["info"]["title"], &document["info"]["license"]["identifier"]),
        (&"Tandem".into(), &"Apache-2.0".into())
    );
    assert!(document["info"].get("contact").is_none());
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 100);
    for reference in references {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            judge(path, operation);
            assert!(ids.insert(operation["operationId"].to_string()), "{}", operation["operationId"]);
        }
    }
}

/// What the specification asks of an operation, and we of ours.
fn judge(path: &str, operation: &Value) {
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let in_path: Vec<_> = parameters.iter().filter(|parameter| parameter["in"] == "path").collect();
    let named: Vec<_> = path.split('/').filter(|part| part.starts_with('{')).collect();
    assert_eq!(in_path.len(), named.len(), "{path}");
    assert!(in_path.iter().all(|parameter| parameter["required"] == true), "{path}");
    let responses = operation["responses"].as_object().unwrap();
    let is_open = operation["security"] == serde_json::json!([{}]);
    assert_eq!(responses.contains_key("401"), !is_open, "{path}");
    assert!(responses.keys().any(|status| status.starts_with('2')), "{path}");
    assert!(
        operation["summary"].as_str().is_some_and(|text| text.ends_with('.') && !text.contains("utoipa")),
        "{path}"
    );
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let app = TestApp::start().await;

    let page = fetch(&app, "GET", "/docs").await;

    assert_eq!(page.status, StatusCode::OK);
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("<style"), "{text}");
    for (path, content_type) in
        [("/docs/page.js", "text/javascript"), ("/docs/page.css", "text/css"), ("/", "text/html")]
    {
        assert!(fetch(&app, "GET", path).await.header("content-type").starts_with(content_type), "{path}");
    }
}
