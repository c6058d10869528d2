//! What tenants do to each other.

use crate::{
    cluster::{Cluster, LIMIT, Seen},
    rows,
};
use domain::{BatchId, Scopes};
use e2e::{chat_lines, eventually};
use std::collections::HashMap;
use store::{NewKey, SegmentRow};

rows! {
    a_tenant_has_a_million_lines, "one tenant has a million lines, another one comes with one line", "its shard begins within the time of one shard, and is answered within that of two; the million are not waited for", "52, 53";
}

const MILLION: usize = 1_000_000;

async fn a_tenant_has_a_million_lines() -> Seen {
    let mut cluster = Cluster::with_workers(&[&[], &[], &[]], "").await;
    let large = BatchId::from_string(cluster.site.submit(&cluster.gateway, chat_lines(MILLION, 20)).await);
    // Every slot has had its first shard by then.
    cluster.until_answered(10_000).await;

    let tenant = cluster.site.store.ensure_tenant("small").await.unwrap();
    let key = NewKey::named("small", Scopes::USER);
    (_, cluster.site.key) = cluster.site.store.create_key(&tenant.id, &key).await.unwrap();
    // The gateway has to hear of the key first.
    let known = async || cluster.site.try_get(&cluster.gateway, "/v1/batches").await.is_some();
    assert!(eventually(LIMIT, known).await, "{}", cluster.site.log());
    let small = cluster.site.submit(&cluster.gateway, chat_lines(1, 20)).await;
    let begin = format!("SELECT lease_until_ms - 5000 FROM shards WHERE batch_id = '{small}' AND epoch > 0");
    let mut begun = String::new();
    let is_begun = async || {
        begun = cluster.site.look_up(&begin);
        !begun.is_empty()
    };
    assert!(eventually(LIMIT, is_begun).await, "{}", cluster.site.log());
    let path = format!("/v1/batches/{small}");
    let is_over = async || {
        cluster.site.try_get(&cluster.gateway, &path).await.is_some_and(|batch| batch["status"] == "completed")
    };
    assert!(eventually(LIMIT, is_over).await, "{}", cluster.site.log());

    let store = &cluster.site.store;
    let batch = store.batch_by_id(&BatchId::from_string(small)).await.unwrap().unwrap();
    let answered = store.segments(&batch.id).await.unwrap()[0].created_at_ms - batch.created_at_ms;
    let shard = shard_time(&store.segments(&large).await.unwrap());
    // Once it is done its lease is 0; then it was answered before anybody looked.
    let begun = begun.parse::<i64>().unwrap() - batch.created_at_ms;
    println!("begun after {begun} ms, answered after {answered} ms; a shard of the large batch takes {shard} ms");
    // Before it in its worker's gate and at the model server are lines of shards that began before.
    assert!(begun <= shard && answered <= 2 * shard, "{begun} ms, {answered} ms; {shard} ms");
    let stats = cluster.site.simulator.stats();
    assert!(stats.completed < MILLION as u64 / 2, "the large batch still had work: {stats:?}");
    Seen { lines: MILLION + 1, asked: stats.requests, answered: stats.completed, redone: 0 }
}

/// The median time from the first checkpoint of a shard to its last one, by the database's clock.
fn shard_time(segments: &[SegmentRow]) -> i64 {
    let mut shards: HashMap<_, Vec<&SegmentRow>> = HashMap::new();
    for segment in segments {
        shards.entry(&segment.shard).or_default().push(segment);
    }
    let is_whole = |segments: &&Vec<&SegmentRow>| segments.iter().map(|one| one.done.count()).sum::<usize>() == 256;
    let span = |segments: &Vec<&SegmentRow>| {
        let times = || segments.iter().map(|segment| segment.created_at_ms);
        times().max().unwrap() - times().min().unwrap()
    };
    let mut spans: Vec<_> = shards.values().filter(is_whole).map(span).collect();
    spans.sort_unstable();
    spans[spans.len() / 2]
}
