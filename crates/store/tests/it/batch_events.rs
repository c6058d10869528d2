//! What is told of batches.

use crate::database::{Db, LEASE_MS, new_batch, on_both, segment};
use domain::{BatchEventKind, BatchId, BatchStatus, LineCounts, WorkerId};
use store::{BatchLease, FinishBatch};

on_both!(
    a_life_is_told_in_its_order,
    a_refused_input_is_told_as_failed,
    a_repeated_commit_tells_nothing_twice,
    a_batch_too_slow_for_its_window_is_told_once,
    a_batch_that_waits_for_its_turn_is_not_at_risk,
);

async fn told(db: &Db, batch: &BatchId) -> Vec<(BatchEventKind, i64)> {
    db.store.batch_events(batch).await.unwrap().iter().map(|event| (event.kind, event.percent)).collect()
}

async fn claim_batch(db: &Db, batch: &BatchId) -> BatchLease {
    db.store.claim_batch(batch, &WorkerId::generate(), LEASE_MS).await.unwrap().unwrap()
}

async fn a_life_is_told_in_its_order(db: Db) {
    let (batch, shards) = db.running(&[8]).await;
    let shard = db.claim(&shards[0], LEASE_MS).await;
    for (seq, lines) in [&[0, 1][..], &[2], &[3, 4, 5], &[6, 7]].into_iter().enumerate() {
        db.store.commit_segment(&shard, &segment(8, i64::try_from(seq).unwrap(), lines)).await.unwrap();
    }
    db.store.begin_finalize(&batch).await.unwrap();
    let counts = LineCounts { completed: 8, ..LineCounts::default() };
    let finish = FinishBatch { status: BatchStatus::Completed, output: None, error: None, counts, parts: Vec::new() };
    assert!(db.store.finish_batch(&claim_batch(&db, &batch).await, finish).await.unwrap());

    let expected = [
        (BatchEventKind::InProgress, 0),
        (BatchEventKind::Progress, 25),
        (BatchEventKind::Progress, 75),
        (BatchEventKind::Completed, 0),
    ];
    assert_eq!(told(&db, &batch).await, expected);
}

async fn a_refused_input_is_told_as_failed(db: Db) {
    let batch = db.batch().await;

    assert!(db.store.fail_validation(&claim_batch(&db, &batch.id).await, "[]").await.unwrap());

    let events = db.store.batch_events(&batch.id).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind, &events[0].tenant), (BatchEventKind::Failed, &batch.tenant));
}

async fn a_repeated_commit_tells_nothing_twice(db: Db) {
    let (batch, shards) = db.running(&[2]).await;
    let shard = db.claim(&shards[0], LEASE_MS).await;
    let half = segment(2, 0, &[0]);

    db.store.commit_segment(&shard, &half).await.unwrap();
    db.store.commit_segment(&shard, &half).await.unwrap();

    assert_eq!(told(&db, &batch).await, [(BatchEventKind::InProgress, 0), (BatchEventKind::Progress, 50)]);
}

/// A batch whose window of 1,000 s is at `passed` s, of which it ran all, with so many of 100 tokens done.
async fn batch_at(db: &Db, passed: i64, tokens_done: i64) -> BatchId {
    let tenant = db.tenant().await;
    let new = new_batch(&tenant);
    let batch = new.id.clone();
    db.run(new, &[1]).await;
    let begun = db.store.now_ms().await.unwrap() - passed * 1_000;
    db.execute(&format!(
        "UPDATE batches SET created_at_ms = {begun}, in_progress_at_ms = {begun}, expires_at_ms = {begun} + 1000000, \
         tokens = 100, tokens_done = {tokens_done} WHERE id = '{batch}'"
    ))
    .await;
    batch
}

async fn a_batch_too_slow_for_its_window_is_told_once(db: Db) {
    let slow = batch_at(&db, 500, 40).await;
    let fast = batch_at(&db, 500, 60).await;

    db.store.sweep(0).await.unwrap();
    db.store.sweep(0).await.unwrap();

    assert_eq!(told(&db, &slow).await, [(BatchEventKind::InProgress, 0), (BatchEventKind::AtRisk, 0)]);
    assert_eq!(told(&db, &fast).await, [(BatchEventKind::InProgress, 0)]);
}

async fn a_batch_that_waits_for_its_turn_is_not_at_risk(db: Db) {
    let young = batch_at(&db, 90, 0).await;
    let paused = batch_at(&db, 500, 0).await;
    db.execute(&format!("UPDATE batches SET paused_at_ms = 1 WHERE id = '{paused}'")).await;

    db.store.sweep(0).await.unwrap();

    assert_eq!(told(&db, &young).await, [(BatchEventKind::InProgress, 0)]);
    assert_eq!(told(&db, &paused).await, [(BatchEventKind::InProgress, 0)]);
}
