//! Whose shard is next.

use crate::database::{Db, LEASE_MS, TOKENS_A_LINE, new_batch, on_both, segment};
use domain::{BatchId, Priority, TenantId, Terms, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use store::{Author, NewBatch, ShardLease, TenantPatch};
use tokio::task::JoinSet;

on_both!(
    tenants_are_served_by_their_weights,
    a_small_tenant_is_next_whatever_the_backlog_before_it,
    batches_of_a_tenant_go_by_priority_then_deadline,
    a_tenant_has_no_more_shards_at_work_than_its_cap,
    a_capped_batch_has_no_more_shards_at_work_than_its_lines_need,
    what_lines_really_use_is_what_a_tenant_is_charged,
    workers_that_claim_at_once_share_the_shards,
    finished_lines_are_counted_off_the_estimate,
);

impl Db {
    async fn named(&self, tenant: &str) -> TenantId {
        self.store.ensure_tenant(tenant).await.unwrap().id
    }

    async fn patch(&self, tenant: &TenantId, patch: TenantPatch) {
        let author = Author { actor: "test".to_owned(), request_id: None };
        self.store.patch_tenant(&author, tenant, &patch).await.unwrap().unwrap();
    }

    async fn next(&self) -> Option<ShardLease> {
        self.next_within(None).await
    }

    async fn next_within(&self, tenant_shards: Option<i64>) -> Option<ShardLease> {
        self.store.claim_next_shard(&WorkerId::generate(), LEASE_MS, tenant_shards).await.unwrap()
    }
}

async fn tenants_are_served_by_their_weights(db: Db) {
    let (small, large) = (db.named("small").await, db.named("large").await);
    db.patch(&large, TenantPatch { batch_weight: Some(300), ..TenantPatch::default() }).await;
    for tenant in [&small, &large] {
        db.run(new_batch(tenant), &[5; 40]).await;
    }

    let mut got = BTreeMap::new();
    for _ in 0..40 {
        *got.entry(db.next().await.unwrap().batch.tenant).or_insert(0) += 1;
    }

    assert_eq!(got, [(small, 10), (large, 30)].into());
}

async fn a_small_tenant_is_next_whatever_the_backlog_before_it(db: Db) {
    let large = db.named("large").await;
    db.run(new_batch(&large), &[5; 60]).await;
    for _ in 0..20 {
        db.next().await.unwrap();
    }

    let small = db.named("small").await;
    db.run(new_batch(&small), &[5; 60]).await;

    let order = [db.next().await.unwrap(), db.next().await.unwrap(), db.next().await.unwrap()];
    assert_eq!(order[0].batch.tenant, small);
    assert!(order.iter().any(|lease| lease.batch.tenant == large), "and nobody is locked out");
}

async fn batches_of_a_tenant_go_by_priority_then_deadline(db: Db) {
    let tenant = db.tenant().await;
    let batch = |window_secs, priority| {
        let terms = Terms { priority, ..Terms::default() };
        NewBatch { window_secs, terms, ..new_batch(&tenant) }
    };
    let mut ids = Vec::new();
    for (window_secs, priority) in
        [(3_600, Priority::Idle), (7_200, Priority::Standard), (3_600, Priority::Standard), (86_400, Priority::Urgent)]
    {
        let new = batch(window_secs, priority);
        ids.push(new.id.clone());
        db.run(new, &[1]).await;
    }

    let mut order = Vec::new();
    while let Some(lease) = db.next().await {
        order.push(lease.batch.id);
    }

    assert_eq!(order, [3, 2, 1, 0].map(|at: usize| ids[at].clone()));
}

async fn a_tenant_has_no_more_shards_at_work_than_its_cap(db: Db) {
    let tenant = db.tenant().await;
    db.run(new_batch(&tenant), &[1; 6]).await;

    let first = db.next_within(Some(2)).await.unwrap();
    db.next_within(Some(2)).await.unwrap();
    assert!(db.next_within(Some(2)).await.is_none());
    db.store.release_shard(&first, false, None).await.unwrap();
    let again = db.next_within(Some(2)).await.unwrap();
    assert_eq!(again.shard.id, first.shard.id, "given back, it is the first again");

    db.patch(&tenant, TenantPatch { batch_shards: Some(Some(3)), ..TenantPatch::default() }).await;
    assert!(db.next_within(Some(2)).await.is_some(), "what is set for the tenant counts");
    assert!(db.next_within(None).await.is_none());
}

async fn a_capped_batch_has_no_more_shards_at_work_than_its_lines_need(db: Db) {
    let terms = Terms { max_concurrency: Some(100), ..Terms::default() };
    db.run(NewBatch { terms, ..new_batch(&db.tenant().await) }, &[1; 6]).await;

    let claimed = [db.next().await, db.next().await, db.next().await];

    assert_eq!(claimed.map(|lease| lease.is_some()), [true, true, false]);
}

async fn what_lines_really_use_is_what_a_tenant_is_charged(db: Db) {
    let (modest, greedy) = (db.named("modest").await, db.named("greedy").await);
    for tenant in [&modest, &greedy] {
        db.run(new_batch(tenant), &[1; 30]).await;
    }
    // Its first line used twice what was estimated.
    for _ in 0..2 {
        let lease = db.next().await.unwrap();
        let mut done = segment(1, 0, &[0]);
        let used = if lease.batch.tenant == greedy { 2 * TOKENS_A_LINE } else { TOKENS_A_LINE };
        (done.usage.input, done.usage.output) = (used.unsigned_abs(), 0);
        db.store.commit_segment(&lease, &done).await.unwrap();
    }

    let mut got = BTreeMap::new();
    for _ in 0..18 {
        *got.entry(db.next().await.unwrap().batch.tenant).or_insert(0) += 1;
    }

    assert_eq!(got, [(modest, 12), (greedy, 6)].into());
}

async fn workers_that_claim_at_once_share_the_shards(db: Db) {
    let (one, other) = (db.named("one").await, db.named("other").await);
    for tenant in [&one, &other] {
        db.run(new_batch(tenant), &[1; 20]).await;
    }
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let db = db.clone();
        tasks.spawn(async move { db.next().await.expect("there is enough") });
    }

    let leases = tasks.join_all().await;

    let shards: BTreeSet<_> = leases.iter().map(|lease| lease.shard.id.as_str()).collect();
    assert_eq!(shards.len(), 20);
    assert_eq!(leases.iter().filter(|lease| lease.batch.tenant == one).count(), 10);
}

async fn finished_lines_are_counted_off_the_estimate(db: Db) {
    let (batch, shards) = db.running(&[3]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    let done = async |batch: &BatchId| db.state(batch).await.tokens_done;

    db.store.commit_segment(&lease, &segment(3, 0, &[1])).await.unwrap();
    assert_eq!(done(&batch).await, TOKENS_A_LINE);
    db.store.commit_segment(&lease, &segment(3, 1, &[0, 2])).await.unwrap();

    assert_eq!(done(&batch).await, 3 * TOKENS_A_LINE);
}
