//! Workers take turns among tenants, rung or not, on both databases.

use crate::{
    bench::{Bench, messages},
    faults::Dead,
};
use domain::BatchStatus;
use std::sync::Arc;

/// One tenant fills every slot and waits with many shards more; another comes. Its line is answered although the first one's
/// lines never end but for one shard.
async fn a_newcomer_begins_as_soon_as_one_shard_ends(mut bench: Bench) {
    bench.settings.shards = 2;
    bench.settings.window = 64;
    let _worker = bench.work();
    // Shards of 32 lines: the first two hang, and so would all the others.
    let large = bench.batch(&messages("hang", 32 * 40)).await;
    bench.until_asked("hang 0").await;
    bench.until_asked("hang 32").await;

    bench.tenant = bench.store.create_tenant("small").await.unwrap().id;
    let small = bench.batch(&messages("ok", 3)).await;
    let first_shard: Vec<_> = (0..32).map(|number| format!("hang {number}")).collect();
    bench.model.answer(&first_shard);

    bench.end(&small, BatchStatus::Completed).await;
    let large = bench.store.batch_by_id(&large).await.unwrap().unwrap();
    assert!(large.counts.completed <= 32, "no second shard of the large one was before it: {:?}", large.counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_with_bells() {
    a_newcomer_begins_as_soon_as_one_shard_ends(Bench::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_without_bells() {
    let mut bench = Bench::new().await;
    bench.doorbell = Arc::new(Dead);
    a_newcomer_begins_as_soon_as_one_shard_ends(bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_with_bells() {
    a_newcomer_begins_as_soon_as_one_shard_ends(Bench::on_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_without_bells() {
    let mut bench = Bench::on_postgres().await;
    bench.doorbell = Arc::new(Dead);
    a_newcomer_begins_as_soon_as_one_shard_ends(bench).await;
}
