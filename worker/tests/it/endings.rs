//! Batches that end before their last line.

use crate::bench::{Bench, lines, messages};
use domain::BatchStatus;

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_midway_keeps_what_was_done() {
    let bench = Bench::new().await;
    let _worker = bench.work();
    let contents = [messages("ok", 20), messages("hang", 180)].concat();
    let batch = bench.batch(&contents).await;
    bench.until(&batch, |row| row.counts.completed == 20).await;

    bench.store.cancel_batch(&bench.tenant, &batch).await.unwrap();

    let batch = bench.end(&batch, BatchStatus::Cancelled).await;
    let files = bench.files(&batch, 200).await;
    assert_eq!((files.output.len(), files.error.len()), (20, 180));
    assert_eq!((batch.counts.completed, batch.counts.cancelled, batch.counts.failed), (20, 180, 0));
    let last = &files.error[179];
    assert!(last["response"].is_null());
    assert_eq!(last["error"]["code"], "batch_cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_window_keeps_what_was_done() {
    let bench = Bench::new().await;
    let _worker = bench.work();
    let contents = [messages("ok", 5), messages("hang", 145)].concat();

    let batch = bench.batch_of(&lines(&contents), 5).await;

    let batch = bench.end(&batch, BatchStatus::Expired).await;
    let files = bench.files(&batch, 150).await;
    assert_eq!((files.output.len(), files.error.len()), (5, 145));
    assert_eq!((batch.counts.completed, batch.counts.expired, batch.counts.failed), (5, 145, 0));
    assert_eq!(files.error[0]["error"]["code"], "batch_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_cancelled_before_it_was_judged_has_no_files() {
    let bench = Bench::new().await;
    let batch = bench.batch(&messages("ok", 5)).await;
    bench.store.cancel_batch(&bench.tenant, &batch).await.unwrap();

    let _worker = bench.work();

    let batch = bench.end(&batch, BatchStatus::Cancelled).await;
    assert_eq!((batch.output_file_id, batch.error_file_id), (None, None));
}
