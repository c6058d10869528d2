//! Every kind of bad input, in one table: the status, and for a person and a program what was wrong.

use crate::app::{MAX_JSON, TestApp, as_key, form, line, new_key};
use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// A refused JSON body: path, body, status, `param`, `code`, a part of `message`.
type Case = (&'static str, String, u16, Option<&'static str>, Option<&'static str>, &'static str);

fn chat(extra: Value) -> String {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body.to_string()
}

fn batch(extra: Value) -> String {
    let mut body = json!({"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body.to_string()
}

fn model_cases() -> Vec<Case> {
    let unknown = chat(json!({"model": "nope"}));
    vec![
        (CHAT, "{".into(), 400, None, None, "JSON"),
        (CHAT, String::new(), 400, None, None, "JSON"),
        (CHAT, "[]".into(), 400, None, None, "object"),
        (CHAT, "\"m\"".into(), 400, None, None, "object"),
        (CHAT, format!("{} x", chat(json!({}))), 400, None, None, ""),
        (CHAT, json!({"messages": []}).to_string(), 400, Some("model"), None, "model"),
        (CHAT, chat(json!({"model": 7})), 400, Some("model"), None, "model"),
        (CHAT, chat(json!({"stream": "yes"})), 400, Some("stream"), None, "stream"),
        (CHAT, chat(json!({"max_tokens": -1})), 400, Some("max_tokens"), None, "max_tokens"),
        (CHAT, chat(json!({"max_tokens": 0})), 400, Some("max_tokens"), None, "max_tokens"),
        (CHAT, chat(json!({"max_tokens": 1.5})), 400, Some("max_tokens"), None, "max_tokens"),
        (CHAT, chat(json!({"max_tokens": 10_000_000_000_u64})), 400, Some("max_tokens"), None, "max_tokens"),
        (CHAT, chat(json!({"max_completion_tokens": -5})), 400, Some("max_completion_tokens"), None, ""),
        (CHAT, unknown.clone(), 404, Some("model"), Some("model_not_found"), "The model `nope` does not exist"),
        ("/v1/completions", unknown.clone(), 404, Some("model"), Some("model_not_found"), "nope"),
        ("/v1/embeddings", unknown, 404, Some("model"), Some("model_not_found"), "nope"),
        (CHAT, chat(json!({"user": "x".repeat(MAX_JSON)})), 413, None, None, "larger"),
    ]
}

fn batch_cases() -> Vec<Case> {
    let path = "/v1/batches";
    let long = "k".repeat(65);
    let missing = Some("missing_required_parameter");
    let invalid = Some("invalid_value");
    vec![
        (path, "nonsense".into(), 400, None, None, "not valid JSON"),
        (path, format!("{} {{}}", batch(json!({}))), 400, None, None, "not valid JSON"),
        (path, "{}".into(), 400, Some("input_file_id"), missing, "input_file_id"),
        (path, batch(json!({"input_file_id": 1})), 400, Some("input_file_id"), None, "shape"),
        (path, batch(json!({"endpoint": null})), 400, Some("endpoint"), missing, "endpoint"),
        (path, batch(json!({"endpoint": "/v1/nope"})), 400, Some("endpoint"), invalid, "'/v1/embeddings'"),
        (path, batch(json!({"completion_window": "25m"})), 400, Some("completion_window"), invalid, "'24h'"),
        (path, batch(json!({"completion_window": "8d"})), 400, Some("completion_window"), invalid, "'7d'"),
        (path, batch(json!({"completion_window": 24})), 400, Some("completion_window"), None, "shape"),
        (path, batch(json!({"metadata": []})), 400, Some("metadata"), None, "shape"),
        (path, batch(json!({"metadata": {"k": 1}})), 400, Some("metadata.k"), invalid, "not a string"),
        (path, batch(json!({"metadata": {"k": "v".repeat(513)}})), 400, Some("metadata.k"), invalid, "512"),
        (path, batch(json!({"metadata": {long: "v"}})), 400, Some("metadata"), invalid, "64"),
        (
            path,
            batch(json!({"output_expires_after": {"anchor": "now", "seconds": 3600}})),
            400,
            Some("output_expires_after.anchor"),
            invalid,
            "created_at",
        ),
        (
            path,
            batch(json!({"output_expires_after": {"anchor": "created_at", "seconds": 60}})),
            400,
            Some("output_expires_after.seconds"),
            invalid,
            "3600",
        ),
        (path, batch(json!({"windw": "24h"})), 400, Some("windw"), None, "windw"),
        (path, batch(json!({})), 404, Some("input_file_id"), None, "No such File object: file-x"),
        (path, batch(json!({"metadata": {"k": "v".repeat(MAX_JSON)}})), 413, None, None, "larger"),
    ]
}

#[tokio::test]
async fn bad_bodies_are_refused_with_the_reason() {
    let app = TestApp::start().await;

    for (path, body, status, param, code, text) in model_cases().into_iter().chain(batch_cases()) {
        let shown: String = body.chars().take(120).collect();
        let request = app.request("POST", path).header("content-type", "application/json");
        let answer = app.send(request.body(Body::from(body)).unwrap()).await;

        let error = answer.error();
        assert_eq!(answer.status.as_u16(), status, "{path} {shown}: {error}");
        assert_eq!(error["param"].as_str(), param, "{path} {shown}: {error}");
        assert_eq!(error["code"].as_str(), code, "{path} {shown}: {error}");
        assert!(error["message"].as_str().unwrap().contains(text), "{path} {shown}: {error}");
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_too() {
    let app = TestApp::start().await;
    let chunk = "x".repeat(MAX_JSON / 4);
    let chunks = futures::stream::iter((0..8).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));

    let request = app.request("POST", CHAT).header("content-type", "application/json");
    let answer = app.send(request.body(Body::from_stream(chunks)).unwrap()).await;

    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    answer.error();
}

#[tokio::test]
async fn requests_that_lead_nowhere_get_the_same_shape() {
    let app = TestApp::start().await;

    for (method, path, status) in [
        ("GET", "/v1/nothing", 404),
        ("GET", "/favicon.ico", 404),
        ("POST", "/v1/audio/speech", 404),
        ("GET", CHAT, 405),
        ("PUT", "/v1/files", 405),
        ("DELETE", "/v1/batches", 405),
        ("POST", "/v1/models", 405),
        ("POST", "/", 405),
        ("GET", "/v1/files/file-none", 404),
        ("GET", "/v1/files/file-none/content", 404),
        ("DELETE", "/v1/files/file-none", 404),
        ("GET", "/v1/files/%ff", 400),
        ("GET", "/v1/batches/batch_none", 404),
        ("POST", "/v1/batches/batch_none/cancel", 404),
        ("GET", "/v1/models/no/such/model", 404),
        ("GET", "/v1/batches?limit=0", 400),
        ("GET", "/v1/batches?limit=101", 400),
        ("GET", "/v1/batches?limit=x", 400),
        ("GET", "/v1/batches?after=batch_none", 400),
        ("GET", "/v1/batches?limit=1&limit=2", 400),
        ("GET", "/v1/files?limit=10001", 400),
        ("GET", "/v1/files?order=up", 400),
        ("GET", "/v1/files?purpose=fun", 400),
        ("GET", "/v1/files?after=file-none", 400),
    ] {
        let answer = app.send(app.request(method, path).body(Body::empty()).unwrap()).await;

        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert_eq!(answer.error()["type"], "invalid_request_error", "{method} {path}");
        assert!(!answer.header("x-request-id").is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn other_content_types_are_a_415() {
    let app = TestApp::start().await;

    for (path, content_type) in [
        (CHAT, Some("text/plain")),
        (CHAT, Some("application/x-www-form-urlencoded")),
        (CHAT, None),
        ("/v1/batches", Some("application/jsonl")),
        ("/v1/files", Some("application/jsonl")),
        ("/v1/uploads", Some("multipart/form-data")),
        ("/v1/files", None),
    ] {
        let mut request = app.request("POST", path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = app.send(request.body(Body::from(chat(json!({})))).unwrap()).await;

        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {content_type:?}");
        assert!(answer.error()["message"].as_str().unwrap().contains("Content-Type: "), "{path} {content_type:?}");
    }
}

#[tokio::test]
async fn without_a_good_key_nothing_opens() {
    let app = TestApp::start().await;
    let secret = &app.key;
    let (_, revoked) = {
        let (id, secret) = new_key(&app.store, "acme").await;
        app.store.revoke_key(&id).await.unwrap();
        (id, secret)
    };

    for (header, text) in [
        (None, "You didn't provide an API key"),
        (Some(format!("Basic {secret}")), "not of the form"),
        (Some("Bearer ".to_owned()), "not of the form"),
        (Some(format!("Bearer {secret}x")), "Incorrect API key"),
        (Some(format!("Bearer {revoked}")), "Incorrect API key"),
    ] {
        for path in ["/v1/models", "/v1/files", "/v1/batches", "/v1/batches/batch_x"] {
            let mut request = Request::builder().uri(path);
            if let Some(header) = &header {
                request = request.header("authorization", header);
            }
            let answer = app.send(request.body(Body::empty()).unwrap()).await;

            let error = answer.error();
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {header:?}");
            assert_eq!(error["code"], "invalid_api_key");
            assert!(error["message"].as_str().unwrap().contains(text), "{error}");
        }
    }
}

#[tokio::test]
async fn what_belongs_to_another_tenant_is_not_there() {
    let app = TestApp::start().await;
    let file = app.upload(&line("a")).await;
    let body = json!({"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"});
    let batch = app.post("/v1/batches", body.clone()).await.ok()["id"].as_str().unwrap().to_owned();

    for (method, path) in [
        ("GET", format!("/v1/files/{file}")),
        ("GET", format!("/v1/files/{file}/content")),
        ("DELETE", format!("/v1/files/{file}")),
        ("GET", format!("/v1/batches/{batch}")),
        ("POST", format!("/v1/batches/{batch}/cancel")),
    ] {
        let answer = app.send(as_key(&app.stranger, method, &path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
        answer.error();
    }
    let create = as_key(&app.stranger, "POST", "/v1/batches").header("content-type", "application/json");
    let answer = app.send(create.body(Body::from(body.to_string())).unwrap()).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    for path in ["/v1/files", "/v1/batches"] {
        let answer = app.send(as_key(&app.stranger, "GET", path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.ok()["data"], json!([]), "{path}");
        let page = format!("{path}?after={}", if path == "/v1/files" { &file } else { &batch });
        let answer = app.send(as_key(&app.stranger, "GET", &page).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{page}");
    }
}

#[tokio::test]
async fn bad_forms_are_refused_and_leave_nothing() {
    let app = TestApp::start().await;
    let anchor = ("expires_after[anchor]", "created_at");

    for (form, param, text) in [
        (form(&[("purpose", "batch")], None), Some("file"), "file"),
        (form(&[], Some(("a.jsonl", &line("a")))), Some("purpose"), "purpose"),
        (form(&[("purpose", "fun")], Some(("a.jsonl", "x"))), Some("purpose"), "'batch'"),
        (form(&[("purpose", "batch")], Some(("a.csv", "x"))), Some("file"), "Must be .jsonl"),
        (form(&[("purpose", "batch"), anchor], Some(("a.jsonl", "x"))), Some("expires_after[seconds]"), "seconds"),
        (
            form(&[("purpose", "batch"), anchor, ("expires_after[seconds]", "60")], Some(("a.jsonl", "x"))),
            Some("expires_after.seconds"),
            "3600",
        ),
        (
            form(&[("purpose", "batch"), anchor, ("expires_after[seconds]", "soon")], Some(("a.jsonl", "x"))),
            Some("expires_after.seconds"),
            "whole number",
        ),
        ("this is no form".to_owned(), None, "multipart"),
    ] {
        let answer = app.post_form(form.clone()).await;

        let error = answer.error();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{form}: {error}");
        assert_eq!(error["param"].as_str(), param, "{form}: {error}");
        assert!(error["message"].as_str().unwrap().contains(text), "{form}: {error}");
    }
    assert_eq!(app.file_rows().await, 0);
    assert_eq!(app.blob_files(), Vec::<std::path::PathBuf>::new());
}
