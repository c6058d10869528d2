//! What a user reads of a batch line by line, and the batch of lines that are asked again.

use crate::app::{Answer, TestApp, as_key, line};
use axum::body::Body;
use domain::{BatchId, BatchStatus, Bitmap, FileId, LineCounts, TenantId, WorkerId};
use http::StatusCode;
use serde_json::{Value, json};
use store::{BatchPart, FilePart, FinishBatch, NewFile};

const ANSWERED: &str =
    r#"{"id":"1","custom_id":"a","response":{"status_code":200,"request_id":"r","body":{}},"error":null}"#;
const REFUSED: &str =
    r#"{"id":"2","custom_id":"b","response":{"status_code":400,"request_id":"r","body":{}},"error":null}"#;
const CANCELLED: &str =
    r#"{"id":"3","custom_id":"c","response":null,"error":{"code":"batch_cancelled","message":"m"}}"#;

/// A cancelled batch of three lines: the first was answered, the second refused, the third never asked.
async fn ended(app: &TestApp) -> Value {
    let file = app.upload(&(line("a") + &line("b") + &line("c"))).await;
    let body = json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h",
        "metadata": {"team": "search"}, "priority": "idle"});
    let id = BatchId::from_string(app.post("/v1/batches", body).await.ok()["id"].as_str().unwrap());
    let worker = WorkerId::generate();
    let lease = app.store.claim_batch(&id, &worker, 60_000).await.unwrap().unwrap();
    assert!(app.store.start_batch(&lease, 3, Some("m")).await.unwrap());
    app.store.cancel_batch(&lease.batch.tenant, &id).await.unwrap();
    let lease = app.store.claim_batch(&id, &worker, 60_000).await.unwrap().unwrap();
    let (output, answered) = file_of(app, &lease.batch.tenant, &[ANSWERED]);
    let (error, refused) = file_of(app, &lease.batch.tenant, &[REFUSED, CANCELLED]);
    let mut lines = Bitmap::new(3);
    lines.set(0);
    let finish = FinishBatch {
        status: BatchStatus::Cancelled,
        output: Some(output),
        error: Some(error),
        counts: LineCounts { completed: 1, failed: 1, cancelled: 1, ..LineCounts::default() },
        parts: vec![BatchPart { first_line: 0, answered: lines, output: answered, error: refused }],
    };
    assert!(app.store.finish_batch(&lease, finish).await.unwrap());
    app.get(&format!("/v1/batches/{id}")).await.ok()
}

fn file_of(app: &TestApp, tenant: &TenantId, records: &[&str]) -> (NewFile, FilePart) {
    let (id, bytes) = (FileId::generate(), records.join("\n") + "\n");
    let folder = app.folder.path().join("blobs/f");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(id.as_str()), &bytes).unwrap();
    let mut part = FilePart::default();
    part.append(bytes.as_bytes());
    let file = NewFile {
        blob: format!("f/{id}"),
        id,
        tenant: tenant.clone(),
        purpose: "batch_output".to_owned(),
        filename: "records.jsonl".to_owned(),
        bytes: i64::try_from(bytes.len()).unwrap(),
        crc32c: Some(part.crc32c),
        index: None,
        expires_at_ms: None,
    };
    (file, part)
}

fn path(batch: &Value, rest: &str) -> String {
    format!("/v1/batches/{}{rest}", batch["id"].as_str().unwrap())
}

fn records(answer: &Answer) -> Vec<Value> {
    let text = std::str::from_utf8(&answer.body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn pages_follow_each_other_until_there_is_nothing_more() {
    let app = TestApp::start().await;
    let batch = ended(&app).await;

    let first = app.get(&path(&batch, "/results?limit=2")).await;
    let second = app.get(&path(&batch, "/results?after_line=2&limit=2")).await;

    let seen: Vec<_> = [records(&first), records(&second)].concat();
    assert_eq!(seen.iter().map(|record| &record["line"]).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(seen.iter().map(|record| &record["custom_id"]).collect::<Vec<_>>(), ["a", "b", "c"]);
    for (page, last, more) in [(&first, "2", "true"), (&second, "3", "false")] {
        assert_eq!((page.header("x-tandem-last-line"), page.header("x-tandem-has-more")), (last, more));
        assert_eq!(
            (page.header("content-type"), page.header("x-tandem-batch-status")),
            ("application/jsonl", "cancelled")
        );
    }
}

#[tokio::test]
async fn a_tail_goes_on_where_it_was_left_and_ends_with_the_batch() {
    let app = TestApp::start().await;
    let batch = ended(&app).await;
    let request = app.request("GET", &path(&batch, "/results")).header("accept", "text/event-stream");

    let answer = app.send(request.header("last-event-id", "2").body(Body::empty()).unwrap()).await;

    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let events: Vec<_> = text.trim_end().split("\n\n").collect();
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(events[0], format!("event: result\nid: 3\ndata: {}", CANCELLED.replacen('{', r#"{"line":3,"#, 1)));
    assert!(events.len() == 2 && events[1].starts_with("event: batch.cancelled\ndata: {"), "{text}");
}

#[tokio::test]
async fn a_batch_that_waits_has_no_records_yet() {
    let app = TestApp::start().await;
    let body = json!({"input_file_id": app.upload(&line("a")).await, "endpoint": "/v1/chat/completions",
        "completion_window": "24h"});
    let batch = app.post("/v1/batches", body).await.ok();

    let page = app.get(&path(&batch, "/results")).await;

    assert_eq!((page.status, page.body.len(), page.header("x-tandem-has-more")), (StatusCode::OK, 0, "true"));
    let redriven = app.post(&path(&batch, "/redrive"), json!({"lines": ["failed"]})).await;
    assert_eq!((redriven.status, &redriven.error()["code"]), (StatusCode::CONFLICT, &json!("batch_not_ended")));
}

#[tokio::test]
async fn records_that_are_not_what_was_written_are_never_given() {
    let app = TestApp::start().await;
    let batch = ended(&app).await;
    let file = app.folder.path().join("blobs/f").join(batch["output_file_id"].as_str().unwrap());
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap().replace("200", "201")).unwrap();

    let request = app.request("GET", &path(&batch, "/results")).body(Body::empty()).unwrap();

    assert!(app.try_send(request).await.is_err(), "the body breaks off");
}

#[tokio::test]
async fn another_tenants_batch_is_not_found() {
    let app = TestApp::start().await;
    let batch = ended(&app).await;
    let ask = async |method: &str, rest: &str, body: &str| {
        let request = as_key(&app.stranger, method, &path(&batch, rest)).header("content-type", "application/json");
        app.send(request.body(Body::from(body.to_owned())).unwrap()).await.status
    };

    assert_eq!(ask("GET", "/results", "").await, StatusCode::NOT_FOUND);
    assert_eq!(ask("GET", "/audit", "").await, StatusCode::NOT_FOUND);
    assert_eq!(ask("POST", "/redrive", r#"{"lines":["failed"]}"#).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_audit_has_the_checksums_of_files_and_of_lines_without_a_shard() {
    let app = TestApp::start().await;
    let batch = ended(&app).await;

    let audit = app.get(&path(&batch, "/audit")).await.ok();

    let totals = &audit["totals"];
    assert_eq!([&totals["lines"], &totals["completed"], &totals["failed"], &totals["cancelled"]], [3, 1, 1, 1]);
    assert_eq!((audit["shards"].as_array().unwrap().len(), &audit["has_more"]), (0, &json!(false)));
    let rest = &audit["unplanned"];
    assert_eq!((&rest["first_line"], &rest["last_line"]), (&json!(1), &json!(3)));
    for side in ["output", "error"] {
        assert_eq!(rest[side]["crc32c"], audit[side]["crc32c"]);
        assert_eq!(rest[side]["bytes"], audit[side]["bytes"]);
    }
    assert!(audit["input"]["crc32c"].is_string());
}

#[tokio::test]
async fn the_lines_that_were_chosen_are_a_new_batch() {
    let app = TestApp::start().await;
    let parent = ended(&app).await;

    let child =
        app.post(&path(&parent, "/redrive"), json!({"lines": ["failed"], "completion_window": "2h"})).await.ok();

    assert_eq!((&child["status"], &child["redrive_of"]), (&json!("validating"), &parent["id"]));
    assert_eq!((&child["metadata"], &child["priority"]), (&parent["metadata"], &json!("idle")));
    assert_eq!(child["completion_window"], "2h");
    let input = app.get(&format!("/v1/files/{}/content", child["input_file_id"].as_str().unwrap())).await;
    assert_eq!(String::from_utf8(input.body.to_vec()).unwrap(), line("b"));
    let other = app.post(&path(&parent, "/redrive"), json!({"lines": ["expired", "quarantined"]})).await;
    assert_eq!((other.status, &other.error()["code"]), (StatusCode::CONFLICT, &json!("nothing_to_redrive")));
}

#[tokio::test]
async fn a_redrive_with_a_key_happens_once() {
    let app = TestApp::start().await;
    let parent = ended(&app).await;
    let redrive = async || {
        let request = app.request("POST", &path(&parent, "/redrive")).header("content-type", "application/json");
        let body = Body::from(r#"{"lines":["failed","cancelled"]}"#);
        app.send(request.header("idempotency-key", "once").body(body).unwrap()).await.ok()
    };

    let (first, again) = (redrive().await, redrive().await);

    assert_eq!(first["id"], again["id"]);
    assert_eq!(app.get("/v1/batches").await.ok()["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_redrive_needs_the_input() {
    let app = TestApp::start().await;
    let parent = ended(&app).await;
    app.delete(&format!("/v1/files/{}", parent["input_file_id"].as_str().unwrap())).await.ok();

    let refused = app.post(&path(&parent, "/redrive"), json!({"lines": ["failed"]})).await;

    assert_eq!((refused.status, &refused.error()["code"]), (StatusCode::CONFLICT, &json!("file_gone")));
}
