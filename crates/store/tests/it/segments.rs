//! Checkpoints.

use crate::database::{Db, LAPSED_MS, LEASE_MS, on_both, segment};
use domain::{BatchStatus, Kind};
use store::CommitResult;
use tokio::task::JoinSet;

on_both!(
    the_last_line_of_a_shard_and_of_a_batch_is_noticed,
    a_repeated_commit_counts_once,
    a_line_with_a_record_can_not_get_another,
    a_segment_must_count_the_lines_it_marks,
    shards_of_one_batch_commit_at_once_and_every_line_counts,
    finished_lines_still_count_while_a_cancel_is_under_way,
    segments_come_back_in_the_order_of_the_input,
);

const fn committed(shard_done: bool, batch_done: bool) -> CommitResult {
    CommitResult::Committed { shard_done, batch_done }
}

async fn the_last_line_of_a_shard_and_of_a_batch_is_noticed(db: Db) {
    let (batch, shards) = db.running(&[2, 1]).await;
    let first = db.claim(&shards[0], LEASE_MS).await;
    let second = db.claim(&shards[1], LEASE_MS).await;

    assert_eq!(db.store.commit_segment(&first, &segment(2, 0, &[1])).await.unwrap(), committed(false, false));
    assert_eq!(db.store.commit_segment(&first, &segment(2, 1, &[0])).await.unwrap(), committed(true, false));
    assert!(!db.store.begin_finalize(&batch).await.unwrap());
    assert_eq!(db.store.commit_segment(&second, &segment(1, 0, &[0])).await.unwrap(), committed(true, true));
    assert!(db.store.begin_finalize(&batch).await.unwrap());
    assert!(!db.store.begin_finalize(&batch).await.unwrap());

    let state = db.state(&batch).await;
    assert_eq!((state.status, state.counts.completed, state.usage.input), (BatchStatus::Finalizing, 3, 30));
    assert!(db.store.claim_shard(&shards[0], &first.owner, LEASE_MS).await.unwrap().is_none(), "it is done");
}

async fn a_repeated_commit_counts_once(db: Db) {
    let (batch, shards) = db.running(&[1]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    let one = segment(1, 0, &[0]);

    assert_eq!(db.store.commit_segment(&lease, &one).await.unwrap(), committed(true, true));
    assert_eq!(db.store.commit_segment(&lease, &one).await.unwrap(), CommitResult::AlreadyCommitted);

    assert_eq!(db.state(&batch).await.counts.completed, 1);
    assert_eq!(db.store.segments(&batch).await.unwrap().len(), 1);
}

async fn a_line_with_a_record_can_not_get_another(db: Db) {
    let (batch, shards) = db.running(&[3]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    db.store.commit_segment(&lease, &segment(3, 0, &[0, 1])).await.unwrap();

    let error = db.store.commit_segment(&lease, &segment(3, 1, &[1, 2])).await.unwrap_err();

    assert_eq!((error.kind(), error.code()), (Kind::Conflict, Some("overlapping_lines")));
    assert_eq!(db.state(&batch).await.counts.completed, 2);
    assert_eq!(db.store.segments(&batch).await.unwrap().len(), 1);
}

async fn a_segment_must_count_the_lines_it_marks(db: Db) {
    let (_, shards) = db.running(&[3]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    let mut wrong = segment(3, 0, &[0, 1]);
    wrong.counts.completed = 1;

    assert_eq!(db.store.commit_segment(&lease, &wrong).await.unwrap_err().kind(), Kind::Internal);
}

async fn shards_of_one_batch_commit_at_once_and_every_line_counts(db: Db) {
    let (batch, shards) = db.running(&[4; 8]).await;
    let mut tasks = JoinSet::new();
    for shard in shards {
        let db = db.clone();
        tasks.spawn(async move {
            let lease = db.claim(&shard, LEASE_MS).await;
            let mut last = CommitResult::LeaseLost;
            for line in 0..4 {
                last =
                    db.store.commit_segment(&lease, &segment(4, i64::try_from(line).unwrap(), &[line])).await.unwrap();
            }
            last
        });
    }

    let ends = tasks.join_all().await;

    assert_eq!(ends.iter().filter(|end| **end == committed(true, true)).count(), 1, "one of them ended the batch");
    assert_eq!(ends.iter().filter(|end| **end == committed(true, false)).count(), 7);
    assert_eq!(db.state(&batch).await.counts.completed, 32);
}

async fn finished_lines_still_count_while_a_cancel_is_under_way(db: Db) {
    let (batch, shards) = db.running(&[2]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    db.store.cancel_batch(&lease.batch.tenant, &batch).await.unwrap();

    assert!(db.store.claim_batch(&batch, &lease.owner, LEASE_MS).await.unwrap().is_none(), "a shard still runs");
    assert_eq!(db.store.commit_segment(&lease, &segment(2, 0, &[0])).await.unwrap(), committed(false, false));

    assert!(db.store.release_shard(&lease, false, None).await.unwrap());
    let end = db.store.claim_batch(&batch, &lease.owner, LEASE_MS).await.unwrap().unwrap();
    assert_eq!(end.batch.counts.completed, 1);
}

async fn segments_come_back_in_the_order_of_the_input(db: Db) {
    let (batch, shards) = db.running(&[2, 1]).await;
    let later = db.claim(&shards[1], LEASE_MS).await;
    db.store.commit_segment(&later, &segment(1, 0, &[0])).await.unwrap();
    let first = db.claim(&shards[0], LAPSED_MS).await;
    db.store.commit_segment(&first, &segment(2, 0, &[1])).await.unwrap();
    let again = db.claim(&shards[0], LEASE_MS).await;
    assert_eq!(again.shard.done.missing().collect::<Vec<_>>(), [0], "a new owner continues where the old one stopped");
    db.store.commit_segment(&again, &segment(2, 0, &[0])).await.unwrap();

    let segments = db.store.segments(&batch).await.unwrap();

    let order: Vec<_> = segments.iter().map(|segment| (segment.ordinal, segment.epoch, segment.seq)).collect();
    assert_eq!(order, [(0, 1, 0), (0, 2, 0), (1, 1, 0)]);
    assert!(segments[0].done.contains(1) && !segments[0].done.contains(0));
}
