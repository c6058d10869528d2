//! Bytes that nobody can reach do not stay.

use crate::bench::{Bench, messages};
use bytes::Bytes;
use domain::{BatchStatus, FileId, PartId, UploadId};
use store::{NewFile, NewUpload, part_blob};

async fn purging() -> Bench {
    let mut bench = Bench::new().await;
    bench.settings.purge_ms = 20;
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_batch_keeps_its_files_only() {
    let mut bench = purging().await;
    bench.settings.keep_segments_ms = 0;
    let _worker = bench.work();

    let batch = bench.batch(&messages("ok", 100)).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    bench.eventually(async || bench.blobs_of(&batch.id) == 1).await;
    assert_eq!(bench.files(&batch, 100).await.output.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_stay_while_a_straggler_may_write() {
    let bench = purging().await;
    let _worker = bench.work();
    let ended = bench.batch(&messages("ok", 100)).await;
    bench.end(&ended, BatchStatus::Completed).await;
    let segments = bench.blobs_of(&ended);

    let input = bench.batch(&messages("ok", 1)).await;
    let input = bench.end(&input, BatchStatus::Completed).await.input_file_id;
    assert!(bench.store.delete_file(&bench.tenant, &input).await.unwrap());
    bench.eventually(async || !bench.has_content(&input).await).await;

    assert!(segments > 1);
    assert_eq!(bench.blobs_of(&ended), segments);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_deleted_while_its_batch_runs_lasts_until_the_end() {
    let bench = purging().await;
    let _worker = bench.work();
    let batch = bench.batch(&messages("hang", 10)).await;
    let running = bench.until(&batch, |row| row.planned_lines == 10).await;
    let other = bench.batch(&messages("ok", 1)).await;
    let other = bench.end(&other, BatchStatus::Completed).await.input_file_id;

    assert!(bench.store.delete_file(&bench.tenant, &running.input_file_id).await.unwrap());
    assert!(bench.store.delete_file(&bench.tenant, &other).await.unwrap());
    bench.eventually(async || !bench.has_content(&other).await).await;
    assert!(bench.has_content(&running.input_file_id).await, "the batch still needs it");
    bench.model.let_go();

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 10).await.output.len(), 10);
    bench.eventually(async || !bench.has_content(&batch.input_file_id).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_can_not_be_purged_holds_nobody_up() {
    let bench = purging().await;
    let broken = NewFile {
        id: FileId::generate(),
        tenant: bench.tenant.clone(),
        purpose: "batch".to_owned(),
        filename: "broken.jsonl".to_owned(),
        bytes: 0,
        blob: "f/broken".to_owned(),
        crc32c: None,
        index: Some("no index".to_owned()),
        expires_at_ms: Some(1),
    };
    bench.store.insert_file(&broken).await.unwrap();
    let _worker = bench.work();
    let batch = bench.batch(&messages("ok", 1)).await;
    let input = bench.end(&batch, BatchStatus::Completed).await.input_file_id;

    assert!(bench.store.delete_file(&bench.tenant, &input).await.unwrap());

    bench.eventually(async || !bench.has_content(&input).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_an_upload_that_nobody_completed_go() {
    let mut bench = purging().await;
    bench.settings.keep_segments_ms = 0;
    let made = |ttl_ms| NewUpload {
        id: UploadId::generate(),
        tenant: bench.tenant.clone(),
        bytes: 1,
        filename: "a".to_owned(),
        purpose: "evals".to_owned(),
        mime_type: String::new(),
        file_ttl_secs: None,
        ttl_ms,
    };
    let (expired, open) = (made(0), made(3_600_000));
    for upload in [&expired, &open] {
        bench.store.insert_upload(upload, 10).await.unwrap().unwrap();
        let path = part_blob(&upload.id, &PartId::from_string("part_1"));
        bench.blobs.put_new(&path, Bytes::from_static(b"x")).await.unwrap();
    }
    let has_parts = async |upload: &NewUpload| {
        let path = part_blob(&upload.id, &PartId::from_string("part_1"));
        bench.blobs.size(&path).await.unwrap().is_some()
    };

    let _worker = bench.work();

    bench.eventually(async || !has_parts(&expired).await).await;
    assert!(has_parts(&open).await, "it may still be completed");
}
