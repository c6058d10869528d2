//! Files that are fetched from buckets.

use crate::app::{Answer, MAX_UPLOAD, TestApp, line};
use bucket::{Bucket, Fault, Harm};
use gateway::{ImportBucket, ImportsSettings};
use http::{Method, StatusCode};
use serde_json::json;

/// A bucket for everybody, and one for nobody here.
async fn start() -> (Bucket, TestApp) {
    let bucket = Bucket::start().await.unwrap();
    let theirs = ImportBucket::Some { name: "theirs".to_owned(), tenants: vec!["tenant_other".to_owned()] };
    let imports = ImportsSettings { buckets: vec![ImportBucket::Everybody("lines".to_owned()), theirs] };
    let app = TestApp::in_a_bucket(&bucket.endpoint(), imports).await;
    (bucket, app)
}

async fn import(app: &TestApp, uri: &str) -> Answer {
    app.post("/v1/files", json!({"purpose": "batch", "uri": uri})).await
}

#[tokio::test]
async fn an_object_becomes_a_batch_input() {
    let (bucket, app) = start().await;
    let text = line("a") + &line("b");
    bucket.put("lines", "day 1/in.jsonl", text.clone());

    let file = import(&app, "gs://lines/day 1/in.jsonl").await.ok();

    assert_eq!((file["filename"].as_str(), file["bytes"].as_u64()), (Some("in.jsonl"), Some(text.len() as u64)));
    bucket.put("lines", "day 1/in.jsonl", "changed since");
    let id = file["id"].as_str().unwrap();
    assert_eq!(app.get(&format!("/v1/files/{id}/content")).await.body, text);
    let batch = json!({"input_file_id": id, "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    app.post("/v1/batches", batch).await.ok();
}

#[tokio::test]
async fn what_can_not_be_imported_is_told() {
    let (bucket, app) = start().await;
    bucket.put("theirs", "in.jsonl", line("a"));
    bucket.put("lines", "in.txt", line("a"));
    bucket.put("lines", "big.jsonl", vec![b'\n'; usize::try_from(MAX_UPLOAD).unwrap() + 1]);
    let before = bucket.names("blobs");

    for (uri, status, code) in [
        ("gs://theirs/in.jsonl", StatusCode::FORBIDDEN, Some("bucket_not_allowed")),
        ("gs://unlisted/in.jsonl", StatusCode::FORBIDDEN, Some("bucket_not_allowed")),
        ("gs://lines/none.jsonl", StatusCode::NOT_FOUND, Some("object_not_found")),
        ("gs://lines/in.txt", StatusCode::BAD_REQUEST, None),
        ("gs://lines/big.jsonl", StatusCode::PAYLOAD_TOO_LARGE, None),
        ("s3://lines/in.jsonl", StatusCode::BAD_REQUEST, Some("invalid_value")),
    ] {
        let answer = import(&app, uri).await;
        assert_eq!((answer.status, answer.error()["code"].as_str()), (status, code), "{uri}");
        assert_eq!(answer.error()["param"], "uri", "{uri}");
    }
    assert_eq!(bucket.names("blobs"), before, "nothing stays behind");
    let nothing = app.post("/v1/files", json!({"purpose": "batch"})).await;
    assert_eq!(nothing.error()["param"], "uri");
}

#[tokio::test]
async fn a_bucket_that_lets_nobody_in_is_told() {
    let (bucket, app) = start().await;
    bucket.put("lines", "in.jsonl", line("a"));
    bucket.arm(Fault::of(Harm::Refuse(StatusCode::FORBIDDEN), Method::HEAD).at("/lines/"));

    let answer = import(&app, "gs://lines/in.jsonl").await;

    assert_eq!(answer.error()["code"], "object_not_readable");
}

#[tokio::test]
async fn an_object_that_changes_meanwhile_is_no_file() {
    let (bucket, app) = start().await;
    bucket.put("lines", "in.jsonl", line("a"));
    // As a generation that is gone is answered.
    bucket.arm(Fault::of(Harm::Refuse(StatusCode::NOT_FOUND), Method::GET).at("/lines/"));

    let answer = import(&app, "gs://lines/in.jsonl").await;

    assert_eq!((answer.status, answer.error()["code"].as_str()), (StatusCode::CONFLICT, Some("object_changed")));
    assert_eq!(bucket.names("blobs"), Vec::<String>::new());
}
