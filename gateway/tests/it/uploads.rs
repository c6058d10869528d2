//! Uploads that go well in unusual ways, and uploads that go wrong.

use crate::app::{BOUNDARY, MAX_BATCH_FILE, MAX_FILE, TestApp, file_head, file_part, form, form_end, line, text_part};
use axum::body::{Body, Bytes};
use futures::StreamExt;
use http::StatusCode;
use serde_json::json;
use std::{io, path::PathBuf};

fn nothing() -> Vec<PathBuf> {
    Vec::new()
}

#[tokio::test]
async fn the_purpose_may_come_after_the_file() {
    let app = TestApp::start().await;

    let body = file_part("in.jsonl", &line("a")) + &text_part("purpose", "batch") + &form_end();
    let file = app.post_form(body).await.ok();

    let tenant = app.store.ensure_tenant("acme").await.unwrap().id;
    let id = domain::FileId::from_string(file["id"].as_str().unwrap());
    let row = app.store.file(&tenant, &id).await.unwrap().unwrap();
    let index: serde_json::Value = serde_json::from_str(&row.index.unwrap()).unwrap();
    assert_eq!(index["lines"], 1);
}

#[tokio::test]
async fn json_lines_of_another_purpose_keep_no_index() {
    let app = TestApp::start().await;

    let body = file_part("in.jsonl", &line("a")) + &text_part("purpose", "evals") + &form_end();
    app.post_form(body).await.ok();

    assert_eq!(app.blob_files().len(), 1);
}

#[tokio::test]
async fn the_index_of_bad_lines_is_made_at_upload() {
    let app = TestApp::start().await;
    let id = app.upload(&format!("{}not json\n", line("a"))).await;

    let tenant = app.store.ensure_tenant("acme").await.unwrap().id;
    let row = app.store.file(&tenant, &domain::FileId::from_string(id)).await.unwrap().unwrap();

    let index: serde_json::Value = serde_json::from_str(&row.index.unwrap()).unwrap();
    assert_eq!(
        (index["errors"][0]["code"].as_str(), index["errors"][0]["line"].as_u64()),
        (Some("invalid_json_line"), Some(2))
    );
}

#[tokio::test]
async fn an_expiry_may_be_asked_for() {
    let app = TestApp::start().await;
    let texts = [("purpose", "evals"), ("expires_after[anchor]", "created_at"), ("expires_after[seconds]", "3600")];

    let file = app.post_form(form(&texts, Some(("a.txt", "x")))).await.ok();

    assert_eq!(file["expires_at"].as_i64().unwrap() - file["created_at"].as_i64().unwrap(), 3_600);
}

#[tokio::test]
async fn a_name_is_kept_without_its_path() {
    let app = TestApp::start().await;

    let file = app.post_form(form(&[("purpose", "evals")], Some(("../../etc/päss wd", "x")))).await.ok();

    assert_eq!(file["filename"], "päss wd");
}

#[tokio::test]
async fn a_file_beyond_the_limit_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let large = |bytes: u64| "x".repeat(usize::try_from(bytes).unwrap());

    for body in [
        form(&[("purpose", "batch")], Some(("a.jsonl", &large(MAX_BATCH_FILE + 1)))),
        form(&[("purpose", "evals")], Some(("a.txt", &large(MAX_FILE + 1)))),
        file_part("a.jsonl", &large(MAX_BATCH_FILE + 1)) + &text_part("purpose", "batch") + &form_end(),
        file_part("a.jsonl", &large(MAX_FILE + 1)) + &text_part("purpose", "batch") + &form_end(),
        form(&[("other", &large(3 * 1024 * 1024))], None),
    ] {
        let answer = app.post_form(body).await;

        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        answer.error();
    }
    assert_eq!(app.file_rows().await, 0);
    assert_eq!(app.blob_files(), nothing());
}

#[tokio::test]
async fn a_file_of_exactly_the_limit_is_taken() {
    let app = TestApp::start().await;

    let body = form(&[("purpose", "evals")], Some(("a.txt", &"x".repeat(usize::try_from(MAX_FILE).unwrap()))));

    assert_eq!(app.post_form(body).await.ok()["bytes"], MAX_FILE);
}

#[tokio::test]
async fn two_files_in_one_form_are_refused_and_leave_nothing() {
    let app = TestApp::start().await;

    let body = text_part("purpose", "batch") + &file_part("a.jsonl", "x") + &file_part("b.jsonl", "y") + &form_end();
    let answer = app.post_form(body).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.error()["param"], json!("file"));
    assert_eq!(app.blob_files(), nothing());
}

#[tokio::test]
async fn two_purposes_are_refused_and_leave_nothing() {
    let app = TestApp::start().await;

    let file = file_part("a.jsonl", &line("a"));
    let body = text_part("purpose", "evals") + &file + &text_part("purpose", "batch") + &form_end();
    let answer = app.post_form(body).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(app.blob_files(), nothing());
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let app = TestApp::start().await;
    for purpose in ["batch", "evals"] {
        let start = text_part("purpose", purpose) + &file_head("a.jsonl") + &line("a");
        let chunks = [Ok(Bytes::from(start)), Err(io::Error::from(io::ErrorKind::ConnectionReset))];

        let answer = app.post_form(Body::from_stream(futures::stream::iter(chunks))).await;

        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{purpose}");
        assert_eq!(app.blob_files(), nothing(), "{purpose}");
    }
    assert_eq!(app.file_rows().await, 0);
}

#[tokio::test]
async fn a_blob_store_that_fails_in_the_middle_leaves_nothing() {
    let app = TestApp::start().await;
    let blobs = app.folder.path().join("blobs");
    let start = text_part("purpose", "batch") + &file_head("a.jsonl") + &line("a");
    let rest = format!("{}\r\n{}", "y".repeat(100 * 1024), form_end());
    let breaks = move || {
        std::fs::remove_dir_all(&blobs).unwrap();
        std::fs::write(&blobs, "in the way").unwrap();
    };

    let first = futures::stream::iter([Ok::<_, io::Error>(Bytes::from(start))]);
    let second = futures::stream::once(async move {
        breaks();
        Ok(Bytes::from(rest))
    });
    let answer = app.post_form(Body::from_stream(first.chain(second))).await;

    assert!(answer.status.is_server_error(), "{}", answer.status);
    answer.error();
    assert_eq!(app.file_rows().await, 0);
}

#[tokio::test]
async fn the_database_going_away_takes_the_blob_with_it() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/v1/models").await.status, StatusCode::OK);
    app.store.close().await;

    let answer = app.post_form(form(&[("purpose", "batch")], Some(("a.jsonl", &line("a"))))).await;

    assert!(answer.status.is_server_error(), "{}", answer.status);
    assert_eq!(app.blob_files(), nothing());
}

#[tokio::test]
async fn a_form_without_its_boundary_is_refused() {
    let app = TestApp::start().await;

    for content_type in ["multipart/form-data".to_owned(), format!("multipart/form-data; bundary={BOUNDARY}")] {
        let request = app.request("POST", "/v1/files").header("content-type", &content_type);
        let answer = app.send(request.body(Body::from(form(&[("purpose", "batch")], None))).unwrap()).await;

        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{content_type}");
        answer.error();
    }
}
