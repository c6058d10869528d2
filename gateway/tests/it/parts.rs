//! `/v1/uploads`: files that come in parts.

use crate::app::{Answer, BOUNDARY, MAX_PART, MAX_UPLOAD, TestApp, as_key, form_end, line};
use axum::body::Body;
use bucket::Bucket;
use futures::future::join_all;
use gateway::ImportsSettings;
use http::StatusCode;
use serde_json::{Value, json};

async fn create(app: &TestApp, bytes: usize) -> String {
    let body = json!({"bytes": bytes, "filename": "in.jsonl", "mime_type": "application/jsonl", "purpose": "batch"});
    app.post("/v1/uploads", body).await.ok()["id"].as_str().unwrap().to_owned()
}

async fn send(app: &TestApp, upload: &str, content: &[u8]) -> Answer {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"data\"; filename=\"part\"\r\n\r\n");
    let body = [head.as_bytes(), content, b"\r\n", form_end().as_bytes()].concat();
    let request = app
        .request("POST", &format!("/v1/uploads/{upload}/parts"))
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
    app.send(request.body(Body::from(body)).unwrap()).await
}

async fn part(app: &TestApp, upload: &str, content: &[u8]) -> String {
    send(app, upload, content).await.ok()["id"].as_str().unwrap().to_owned()
}

async fn complete(app: &TestApp, upload: &str, parts: &[String]) -> Answer {
    app.post(&format!("/v1/uploads/{upload}/complete"), json!({"part_ids": parts})).await
}

async fn cancel(app: &TestApp, upload: &str) -> Answer {
    app.post(&format!("/v1/uploads/{upload}/cancel"), json!({})).await
}

fn text(lines: usize) -> String {
    (0..lines).map(|n| line(&format!("line-{n}"))).collect()
}

/// Makes an upload of two parts, in which a line crosses the border.
async fn in_two(app: &TestApp, text: &str) -> (String, Vec<String>) {
    let upload = create(app, text.len()).await;
    let (one, two) = text.as_bytes().split_at(text.len() / 2 + 3);
    let parts = join_all([part(app, &upload, two), part(app, &upload, one)]).await;
    (upload, vec![parts[1].clone(), parts[0].clone()])
}

#[tokio::test]
async fn parts_become_a_file_that_is_a_batch_input() {
    let app = TestApp::start().await;
    let text = text(20);
    let (upload, parts) = in_two(&app, &text).await;

    let done = complete(&app, &upload, &parts).await.ok();

    assert_eq!((done["object"].as_str(), done["status"].as_str()), (Some("upload"), Some("completed")));
    let file = &done["file"];
    assert_eq!((file["bytes"].as_u64(), file["filename"].as_str()), (Some(text.len() as u64), Some("in.jsonl")));
    let id = file["id"].as_str().unwrap();
    assert_eq!(app.get(&format!("/v1/files/{id}/content")).await.body, text);
    let tenant = app.store.ensure_tenant("acme").await.unwrap().id;
    let row = app.store.file(&tenant, &domain::FileId::from_string(id)).await.unwrap().unwrap();
    let index: Value = serde_json::from_str(&row.index.unwrap()).unwrap();
    assert_eq!((index["lines"].as_u64(), index["error_count"].as_u64()), (Some(20), Some(0)));
    assert_eq!(row.crc32c, Some(crc32c::crc32c(text.as_bytes())));
    let batch = json!({"input_file_id": id, "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    app.post("/v1/batches", batch).await.ok();
}

#[tokio::test]
async fn in_a_bucket_the_parts_are_composed() {
    let bucket = Bucket::start().await.unwrap();
    let app = TestApp::in_a_bucket(&bucket.endpoint(), ImportsSettings::default()).await;
    let text = text(20);
    let (upload, parts) = in_two(&app, &text).await;

    let done = complete(&app, &upload, &parts).await.ok();

    assert_eq!(bucket.composed(), 1);
    let id = done["file"]["id"].as_str().unwrap();
    assert_eq!(app.get(&format!("/v1/files/{id}/content")).await.body, text);
}

#[tokio::test]
async fn a_complete_that_is_sent_again_finds_the_same_file() {
    let app = TestApp::start().await;
    let (upload, parts) = in_two(&app, &text(20)).await;

    let answers = join_all((0..5).map(|_| complete(&app, &upload, &parts))).await;

    let files: Vec<_> = answers.into_iter().map(|answer| answer.ok()["file"]["id"].clone()).collect();
    assert!(files.iter().all(|file| file.is_string() && *file == files[0]), "{files:?}");
    assert_eq!(app.file_rows().await, 1);
    let other = complete(&app, &upload, &[parts[1].clone(), parts[0].clone()]).await;
    assert_eq!((other.status, other.error()["code"].as_str()), (StatusCode::CONFLICT, Some("upload_not_pending")));
}

#[tokio::test]
async fn an_md5_is_compared() {
    let app = TestApp::start().await;
    let upload = create(&app, 2).await;
    let parts = [part(&app, &upload, b"a").await, part(&app, &upload, b"b").await];
    let ask = async |md5: &str| {
        app.post(&format!("/v1/uploads/{upload}/complete"), json!({"part_ids": parts, "md5": md5})).await
    };

    let wrong = ask("00000000000000000000000000000000").await;
    let right = ask("187ef4436122d1cc2f40dc2b92f0eba0").await;

    assert_eq!((wrong.status, wrong.error()["code"].as_str()), (StatusCode::BAD_REQUEST, Some("md5_mismatch")));
    assert_eq!(right.ok()["status"], "completed");
    assert_eq!(ask("short").await.error()["param"], "md5");
}

#[tokio::test]
async fn what_does_not_add_up_is_refused_and_can_be_mended() {
    let app = TestApp::start().await;
    let upload = create(&app, 3).await;
    let one = part(&app, &upload, b"ab").await;

    let short = complete(&app, &upload, std::slice::from_ref(&one)).await;
    let unknown = complete(&app, &upload, &[one.clone(), "part_x".to_owned()]).await;
    let twice = complete(&app, &upload, &[one.clone(), one.clone()]).await;
    let none = complete(&app, &upload, &[]).await;

    assert_eq!((short.status, short.error()["code"].as_str()), (StatusCode::BAD_REQUEST, Some("bytes_mismatch")));
    for refused in [unknown, twice, none] {
        assert_eq!((refused.status, refused.error()["param"].as_str()), (StatusCode::BAD_REQUEST, Some("part_ids")));
    }
    let two = part(&app, &upload, b"c").await;
    assert_eq!(complete(&app, &upload, &[one, two]).await.ok()["status"], "completed");
}

#[tokio::test]
async fn an_upload_that_was_given_up_takes_nothing() {
    let app = TestApp::start().await;
    let upload = create(&app, 1).await;
    let one = part(&app, &upload, b"a").await;

    assert_eq!(cancel(&app, &upload).await.ok()["status"], "cancelled");
    assert_eq!(cancel(&app, &upload).await.ok()["status"], "cancelled", "sent again");

    assert_eq!(send(&app, &upload, b"b").await.status, StatusCode::CONFLICT);
    assert_eq!(complete(&app, &upload, &[one]).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn bounds_are_told() {
    let app = TestApp::start().await;
    let make = async |change: Value| {
        let mut body = json!({"bytes": 1, "filename": "in.jsonl", "mime_type": "text/plain", "purpose": "batch"});
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        app.post("/v1/uploads", body).await
    };

    for (change, status, param) in [
        (json!({"bytes": MAX_UPLOAD + 1}), StatusCode::PAYLOAD_TOO_LARGE, "bytes"),
        (json!({"bytes": 0}), StatusCode::BAD_REQUEST, "bytes"),
        (json!({"bytes": null}), StatusCode::BAD_REQUEST, "bytes"),
        (json!({"filename": "in.txt"}), StatusCode::BAD_REQUEST, "filename"),
        (json!({"purpose": "other"}), StatusCode::BAD_REQUEST, "purpose"),
        (json!({"mime_type": null}), StatusCode::BAD_REQUEST, "mime_type"),
        (
            json!({"expires_after": {"anchor": "created_at", "seconds": 1}}),
            StatusCode::BAD_REQUEST,
            "expires_after.seconds",
        ),
    ] {
        let answer = make(change.clone()).await;
        assert_eq!((answer.status, answer.error()["param"].as_str()), (status, Some(param)), "{change}");
    }
    let upload = create(&app, 1).await;
    let large = send(&app, &upload, &vec![b'x'; usize::try_from(MAX_PART).unwrap() + 1]).await;
    assert_eq!((large.status, large.error()["param"].as_str()), (StatusCode::PAYLOAD_TOO_LARGE, Some("data")));
    assert_eq!(send(&app, &upload, b"").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(app.blob_files(), Vec::<std::path::PathBuf>::new(), "nothing stays behind");
}

#[tokio::test]
async fn parts_that_nobody_uses_have_a_bound() {
    let app = TestApp::start().await;
    let upload = create(&app, 1).await;
    let most = usize::try_from(MAX_PART).unwrap();

    assert_eq!(send(&app, &upload, &vec![b'x'; most]).await.status, StatusCode::OK);
    let more = send(&app, &upload, &vec![b'x'; most]).await;

    assert_eq!((more.status, more.error()["code"].as_str()), (StatusCode::CONFLICT, Some("upload_is_full")));
}

#[tokio::test]
async fn strangers_find_nothing() {
    let app = TestApp::start().await;
    let upload = create(&app, 1).await;

    for path in ["cancel", "complete"] {
        let request = as_key(&app.stranger, "POST", &format!("/v1/uploads/{upload}/{path}"));
        let body = Body::from(json!({"part_ids": ["part_x"]}).to_string());
        let answer = app.send(request.header("content-type", "application/json").body(body).unwrap()).await;

        assert_eq!((answer.status, answer.error()["param"].as_str()), (StatusCode::NOT_FOUND, Some("upload_id")));
    }
}

#[tokio::test]
async fn expired_uploads_are_told_so() {
    let app = TestApp::start().await;
    let new = store::NewUpload {
        id: domain::UploadId::generate(),
        tenant: app.store.ensure_tenant("acme").await.unwrap().id,
        bytes: 1,
        filename: "a".into(),
        purpose: "evals".into(),
        mime_type: String::new(),
        file_ttl_secs: None,
        ttl_ms: -1,
    };
    let row = app.store.insert_upload(&new, 1).await.unwrap().unwrap();

    let late = send(&app, row.id.as_str(), b"a").await;

    assert_eq!(row.status.as_str(), "expired");
    assert!(late.error()["message"].as_str().unwrap().contains("expired"));
}
