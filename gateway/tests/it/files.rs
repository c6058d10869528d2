//! Files that are read, listed, downloaded and deleted.

use crate::app::{TestApp, as_key, form, line};
use axum::body::Body;
use http::StatusCode;
use serde_json::{Value, json};

fn ids(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_file_comes_back_as_it_went() {
    let app = TestApp::start().await;
    let content = line("a") + &line("é");
    let id = app.upload(&content).await;

    let file = app.get(&format!("/v1/files/{id}")).await.ok();
    let download = app.get(&format!("/v1/files/{id}/content")).await;

    assert_eq!((file["object"].as_str(), file["purpose"].as_str()), (Some("file"), Some("batch")));
    assert_eq!(file["bytes"], content.len());
    assert_eq!((file["filename"].as_str(), file["status"].as_str()), (Some("in.jsonl"), Some("processed")));
    assert_eq!(file["expires_at"].as_i64().unwrap() - file["created_at"].as_i64().unwrap(), 30 * 86_400);
    assert_eq!(download.body, content);
    assert_eq!(download.header("content-type"), "application/jsonl");
    assert_eq!(download.header("content-length"), content.len().to_string());
    assert_eq!(download.header("content-disposition"), "attachment; filename=\"in.jsonl\"");
    assert_eq!(download.header("etag"), format!("\"{id}\""));
}

#[tokio::test]
async fn a_part_of_a_file_can_be_read() {
    let app = TestApp::start().await;
    let id = app.upload("0123456789\n").await;
    let path = format!("/v1/files/{id}/content");

    let get = |name: &'static str, value: String| {
        app.send(app.request("GET", &path).header(name, value).body(Body::empty()).unwrap())
    };
    let part = get("range", "bytes=2-4".into()).await;
    let tail = get("range", "bytes=-2".into()).await;
    let beyond = get("range", "bytes=11-".into()).await;
    let same = get("if-none-match", format!("W/\"x\", \"{id}\"")).await;

    assert_eq!((part.status, &part.body[..]), (StatusCode::PARTIAL_CONTENT, &b"234"[..]));
    assert_eq!((part.header("content-range"), part.header("content-length")), ("bytes 2-4/11", "3"));
    assert_eq!(&tail.body[..], b"9\n");
    assert_eq!((beyond.status, beyond.header("content-range")), (StatusCode::RANGE_NOT_SATISFIABLE, "bytes */11"));
    beyond.error();
    assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0));
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let app = TestApp::start().await;
    let id = app.upload("").await;

    let download = app.get(&format!("/v1/files/{id}/content")).await;

    assert_eq!((download.status, download.header("content-length")), (StatusCode::OK, "0"));
}

#[tokio::test]
async fn a_deleted_file_is_gone() {
    let app = TestApp::start().await;
    let id = app.upload(&line("a")).await;

    let deleted = app.delete(&format!("/v1/files/{id}")).await.ok();

    assert_eq!(deleted, json!({"id": id, "object": "file", "deleted": true}));
    for path in [format!("/v1/files/{id}"), format!("/v1/files/{id}/content")] {
        assert_eq!(app.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(app.delete(&format!("/v1/files/{id}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.file_rows().await, 0);
}

#[tokio::test]
async fn pages_of_one_see_every_file_once() {
    let app = TestApp::start().await;
    let mut uploaded = Vec::new();
    for n in 0..4 {
        uploaded.push(app.upload(&line(&n.to_string())).await);
    }

    let mut seen = Vec::new();
    let mut path = "/v1/files?limit=1&order=asc".to_owned();
    loop {
        let page = app.get(&path).await.ok();
        assert_eq!((&page["first_id"], &page["last_id"]), (&page["data"][0]["id"], &page["data"][0]["id"]));
        seen.extend(ids(&page));
        if page["has_more"] == json!(false) {
            break;
        }
        path = format!("/v1/files?limit=1&order=asc&after={}", page["last_id"].as_str().unwrap());
    }

    assert_eq!(seen, uploaded);
    let newest_first = ids(&app.get("/v1/files").await.ok());
    assert!(newest_first.iter().eq(uploaded.iter().rev()));
}

#[tokio::test]
async fn an_empty_list_has_null_ends() {
    let app = TestApp::start().await;

    let page = app.get("/v1/files?purpose=batch").await.ok();

    let expected = json!({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false});
    assert_eq!(page, expected);
}

#[tokio::test]
async fn a_list_can_be_narrowed_to_a_purpose() {
    let app = TestApp::start().await;
    let batch = app.upload(&line("a")).await;
    let other = app.post_form(form(&[("purpose", "user_data")], Some(("notes.txt", "x")))).await.ok();

    let page = app.get("/v1/files?purpose=batch").await.ok();

    assert_eq!(ids(&page), [batch]);
    assert_eq!(other["expires_at"], json!(null));
    let content = app.get(&format!("/v1/files/{}/content", other["id"].as_str().unwrap())).await;
    assert_eq!(content.header("content-type"), "application/octet-stream");
}

#[tokio::test]
async fn a_blob_that_is_gone_is_an_error_and_not_an_empty_file() {
    let app = TestApp::start().await;
    let id = app.upload(&line("a")).await;
    for path in app.blob_files() {
        std::fs::remove_file(path).unwrap();
    }

    let request = as_key(&app.key, "GET", &format!("/v1/files/{id}/content"));
    let answer = app.try_send(request.body(Body::empty()).unwrap()).await;

    assert!(answer.is_err() || answer.unwrap().status.is_server_error());
}
