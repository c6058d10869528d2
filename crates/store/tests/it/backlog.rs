//! What waits, and how fast workers were.

use crate::database::{Db, LEASE_MS, TOKENS_A_LINE, new_batch, on_both, segment};
use domain::Priority;
use store::{Backlog, NewBatch};

on_both!(what_may_run_is_counted, minutes_of_work_are_measured, work_before_a_batch_is_told_by_tenant);

async fn what_may_run_is_counted(db: Db) {
    assert_eq!(db.store.backlog().await.unwrap(), Backlog::default());
    let (batch, shards) = db.running(&[2, 2]).await;
    db.execute("UPDATE batches SET created_at_ms = created_at_ms - 60000").await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    db.store.commit_segment(&lease, &segment(2, 0, &[0])).await.unwrap();

    let backlog = db.store.backlog().await.unwrap();
    db.store.pause_batch(&lease.batch.tenant, &batch).await.unwrap();
    let paused = db.store.backlog().await.unwrap();

    assert_eq!((backlog.runnable_tokens, backlog.leased_shards), (1_000 - TOKENS_A_LINE, 1));
    assert!(backlog.oldest_ms >= 60_000, "{}", backlog.oldest_ms);
    assert_eq!(paused, Backlog { leased_shards: 1, ..Backlog::default() });
    db.batch().await;
    db.execute(&format!("UPDATE batches SET expires_at_ms = 1 WHERE id = '{batch}'")).await;
    assert_eq!(db.store.backlog().await.unwrap().unsettled_batches, 2, "one to judge, one to end");
}

async fn minutes_of_work_are_measured(db: Db) {
    let (_, shards) = db.running(&[3]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    for (seq, minutes) in [(0, 1), (1, 1), (2, 3)] {
        db.store.commit_segment(&lease, &segment(3, seq, &[usize::try_from(seq).unwrap()])).await.unwrap();
        db.execute(&format!(
            "UPDATE segments SET created_at_ms = (created_at_ms / 60000 - {minutes}) * 60000 WHERE seq = {seq}"
        ))
        .await;
    }

    let mut measured = db.store.throughput(5).await.unwrap();
    measured.sort_unstable();

    assert_eq!(measured, [TOKENS_A_LINE, 2 * TOKENS_A_LINE]);
    assert!(db.store.throughput(0).await.unwrap().is_empty(), "this minute is not over");
}

async fn work_before_a_batch_is_told_by_tenant(db: Db) {
    let own = db.tenant().await;
    let other = db.store.ensure_tenant("other").await.unwrap().id;
    for (tenant, window_secs, tokens) in [(&own, 3_600, 1), (&own, 86_400, 10), (&other, 86_400, 100)] {
        let tokens = vec![("m".to_owned(), tokens)];
        db.store.insert_batch(NewBatch { window_secs, tokens, ..new_batch(tenant) }).await.unwrap();
    }
    let before = async |priority, window_secs| {
        let mut work = db.store.work_before(&own, priority, window_secs).await.unwrap();
        work.sort_by_key(|work| work.tokens);
        work.into_iter().map(|work| (work.tenant == own, work.weight, work.tokens)).collect::<Vec<_>>()
    };

    assert_eq!(before(Priority::Standard, 7_200).await, [(true, 100, 1), (false, 100, 100)]);
    assert_eq!(before(Priority::Idle, 60).await, [(true, 100, 11), (false, 100, 100)]);
    assert_eq!(before(Priority::Urgent, 86_400).await, [(false, 100, 100)]);
}
