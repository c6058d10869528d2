//! Batches whose owners change their minds while they run.

use crate::bench::{Bench, messages};
use domain::BatchStatus;
use store::BatchPatch;

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_lets_lines_in_flight_finish_and_loses_none() {
    let mut bench = Bench::new().await;
    bench.settings.concurrency = 4;
    // No heartbeat comes in time: within a process a pause arrives by its hint.
    bench.settings.heartbeat_ms = 60_000;
    bench.settings.lease_ms = 180_000;
    let _worker = bench.work();
    let batch = bench.batch(&messages("hang", 600)).await;
    bench.eventually(async || bench.model.in_flight().len() == 4).await;

    bench.store.pause_batch(&bench.tenant, &batch).await.unwrap();
    let quiet = async || bench.store.shards(&batch).await.unwrap().iter().all(|shard| shard.status != "leased");
    bench
        .eventually(async || {
            bench.model.answer(&bench.model.in_flight());
            quiet().await
        })
        .await;

    let paused = bench.store.batch_by_id(&batch).await.unwrap().unwrap();
    let recorded = paused.counts.completed;
    assert!(paused.status == BatchStatus::InProgress && recorded < 600, "{recorded}");
    assert_eq!(i64::from(bench.model.all_calls()), recorded, "every call was waited for");
    bench.model.let_go();
    bench.store.resume_batch(&bench.tenant, &batch, false).await.unwrap();
    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 600).await.output.len(), 600);
    assert_eq!((bench.model.all_calls(), batch.redone_requests), (600, 0), "nothing was asked twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_bounds_the_lines_in_flight_and_may_be_raised() {
    let bench = Bench::new().await;
    let batch = bench.batch(&messages("hang", 100)).await;
    let cap = |lines| BatchPatch { max_concurrency: Some(Some(lines)), ..BatchPatch::default() };
    bench.store.patch_batch(&bench.tenant, &batch, &cap(2)).await.unwrap();
    let _workers = [bench.work(), bench.work()];
    bench.eventually(async || bench.model.in_flight().len() == 2).await;

    bench.store.patch_batch(&bench.tenant, &batch, &cap(5)).await.unwrap();
    bench.eventually(async || bench.model.in_flight().len() == 5).await;
    bench.model.let_go();

    bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.model.most_in_flight(), 5);
}
