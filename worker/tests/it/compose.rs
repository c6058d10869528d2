//! Where storage puts blobs together, whoever finishes a shard puts its records in order.

use crate::bench::{Bench, messages};
use bucket::{Bucket, Fault, Harm};
use domain::BatchStatus;
use http::{Method, StatusCode};
use store::Blobs;

async fn in_a_bucket() -> (Bucket, Bench) {
    let bucket = Bucket::start().await.unwrap();
    let mut bench = Bench::new().await;
    bench.blobs = Blobs::open_at("gs://blobs", Some(&bucket.endpoint())).unwrap();
    bench.settings.shard_lines = 10;
    bench.settings.flush_lines = 3;
    (bucket, bench)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_batch_are_composed_of_its_shards() {
    let (bucket, bench) = in_a_bucket().await;
    let _worker = bench.work();

    let batch = bench.batch(&messages("ok", 95)).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 95).await.output.len(), 95);
    let compacted = bucket.names("blobs").iter().filter(|name| name.contains("/c/")).count();
    assert_eq!((bench.store.compactions(&batch.id).await.unwrap().len(), compacted), (10, 10));
    assert_eq!(bucket.composed(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_could_not_be_compacted_is_read_from_its_segments() {
    let (bucket, bench) = in_a_bucket().await;
    bucket.arm(Fault::of(Harm::Refuse(StatusCode::FORBIDDEN), Method::PUT).at("%2Fc%2F").every(2));
    let _worker = bench.work();

    let batch = bench.batch(&messages("ok", 95)).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 95).await.output.len(), 95);
    assert!(bench.store.compactions(&batch.id).await.unwrap().len() < 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_writes_and_lost_answers_lose_no_line() {
    let (bucket, bench) = in_a_bucket().await;
    bucket.arm(Fault::of(Harm::Tear, Method::PUT).every(5));
    bucket.arm(Fault::of(Harm::LoseAnswer, Method::POST).every(2));
    let _worker = bench.work();

    let batch = bench.batch(&messages("ok", 95)).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 95).await.output.len(), 95);
    assert!(bucket.harmed() > 0);
}
