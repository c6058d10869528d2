//! Finding forgotten work, and the embedded doorbell.

use crate::database::{Db, LAPSED_MS, LEASE_MS, on_both, segment};
use domain::{BatchStatus, Pointer, PointerKind, WorkerId};
use std::collections::BTreeSet;
use tokio::task::JoinSet;

on_both!(
    a_lapsed_shard_is_freed_and_rung,
    a_lost_doorbell_is_rung_again,
    every_kind_of_waiting_batch_is_found,
    a_batch_all_of_whose_lines_are_done_is_moved_on,
    what_waits_to_be_judged_or_ended_is_found_before_any_shard,
    a_bell_rings_again_until_it_is_acknowledged,
    a_pointer_that_waits_is_not_added_twice,
    listeners_share_the_bells,
);

fn of(kind: PointerKind, id: &str) -> Vec<Pointer> {
    vec![Pointer::new(kind, id)]
}

async fn a_lapsed_shard_is_freed_and_rung(db: Db) {
    let (_, shards) = db.running(&[1]).await;
    db.claim(&shards[0], LAPSED_MS).await;

    assert!(db.store.sweep(60_000).await.unwrap().pointers.is_empty(), "within the grace");
    assert_eq!(db.store.sweep(0).await.unwrap().pointers, of(PointerKind::Shard, shards[0].as_str()));
    assert!(db.store.sweep(0).await.unwrap().pointers.is_empty(), "rung just now");
    assert_eq!(db.claim(&shards[0], LEASE_MS).await.shard.crash_count, 1);
}

async fn a_lost_doorbell_is_rung_again(db: Db) {
    let (_, shards) = db.running(&[1]).await;
    assert!(db.store.sweep(0).await.unwrap().pointers.is_empty());

    db.execute("UPDATE shards SET rung_at_ms = 0").await;

    assert_eq!(db.store.sweep(0).await.unwrap().pointers, of(PointerKind::Shard, shards[0].as_str()));
    assert!(db.store.sweep(0).await.unwrap().pointers.is_empty());
    let lease = db.claim(&shards[0], LEASE_MS).await;
    db.store.release_shard(&lease, false, None).await.unwrap();
    assert_eq!(db.store.sweep(0).await.unwrap().pointers.len(), 1, "a shard given back is rung at once");
}

async fn every_kind_of_waiting_batch_is_found(db: Db) {
    let validating = db.batch().await;
    let (cancelled, _) = db.running(&[1]).await;
    db.store.cancel_batch(&validating.tenant, &cancelled).await.unwrap();
    let (due, _) = db.running(&[1]).await;
    let (unplanned, _) = db.running(&[]).await;
    db.execute(&format!("UPDATE batches SET expires_at_ms = 1 WHERE id = '{due}'")).await;
    db.execute(&format!("UPDATE batches SET total_lines = 1 WHERE id = '{unplanned}'")).await;
    db.execute("UPDATE batches SET rung_at_ms = 0").await;

    let swept: BTreeSet<_> = ids(&db.store.sweep(0).await.unwrap().pointers);

    let expected = [
        ("finalize", cancelled.as_str()),
        ("finalize", due.as_str()),
        ("validate", unplanned.as_str()),
        ("validate", validating.id.as_str()),
    ];
    assert_eq!(swept, expected.map(|(kind, id)| (kind.to_owned(), id.to_owned())).into());
    assert!(db.store.sweep(0).await.unwrap().pointers.is_empty(), "rung just now");
    let planner = db.store.claim_batch(&unplanned, &WorkerId::generate(), LEASE_MS).await.unwrap().unwrap();
    assert_eq!(planner.batch.status, BatchStatus::InProgress);
    assert!(ids(&db.store.waiting_batches(10).await.unwrap()).len() == 3, "one of them is held");
}

fn ids(pointers: &[Pointer]) -> BTreeSet<(String, String)> {
    pointers.iter().map(|pointer| (format!("{:?}", pointer.kind).to_lowercase(), pointer.id.clone())).collect()
}

async fn a_batch_all_of_whose_lines_are_done_is_moved_on(db: Db) {
    let (batch, shards) = db.running(&[1]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    db.store.commit_segment(&lease, &segment(1, 0, &[0])).await.unwrap();

    assert_eq!(db.store.sweep(0).await.unwrap().pointers, of(PointerKind::Finalize, batch.as_str()));
    assert_eq!(db.state(&batch).await.status, BatchStatus::Finalizing);
}

async fn what_waits_to_be_judged_or_ended_is_found_before_any_shard(db: Db) {
    db.running(&[1]).await;
    assert_eq!(db.store.unsettled_batch().await.unwrap(), None);

    let batch = db.batch().await.id;

    let found = db.store.unsettled_batch().await.unwrap().unwrap();
    assert_eq!((found.kind, found.id.as_str()), (PointerKind::Validate, batch.as_str()));
    db.store.claim_batch(&batch, &WorkerId::generate(), LEASE_MS).await.unwrap();
    assert_eq!(db.store.unsettled_batch().await.unwrap(), None, "it is held");
}

async fn a_bell_rings_again_until_it_is_acknowledged(db: Db) {
    let pointer = Pointer { traceparent: Some("00-a-b-01".to_owned()), ..Pointer::new(PointerKind::Shard, "shard_1") };
    db.store.ring(std::slice::from_ref(&pointer)).await.unwrap();

    let first = db.store.take_bells(5, LAPSED_MS).await.unwrap();
    let again = db.store.take_bells(5, LEASE_MS).await.unwrap();
    assert_eq!((&first[0].pointer, &again), (&pointer, &first));
    assert!(db.store.take_bells(5, LEASE_MS).await.unwrap().is_empty(), "it is held");
    db.store.nack_bell(first[0].id).await.unwrap();
    let given_back = db.store.take_bells(5, LEASE_MS).await.unwrap();
    assert_eq!((given_back.len(), db.store.bell_depth().await.unwrap()), (1, 1));
    db.store.ack_bell(first[0].id).await.unwrap();

    assert_eq!(db.store.bell_depth().await.unwrap(), 0);
}

async fn a_pointer_that_waits_is_not_added_twice(db: Db) {
    let pointers = of(PointerKind::Shard, "shard_1");
    db.store.ring(&pointers).await.unwrap();
    db.store.ring(&pointers).await.unwrap();

    assert_eq!(db.store.take_bells(5, LEASE_MS).await.unwrap().len(), 1);

    db.store.ring(&pointers).await.unwrap();
    assert_eq!(db.store.take_bells(5, LEASE_MS).await.unwrap().len(), 1, "the first one is held, this is news");
}

async fn listeners_share_the_bells(db: Db) {
    let pointers: Vec<_> = (0..40).map(|at| Pointer::new(PointerKind::Shard, &format!("shard_{at}"))).collect();
    db.store.ring(&pointers).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(5), db.store.bell_hint().notified()).await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let store = db.store.clone();
        tasks.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let bells = store.take_bells(3, LEASE_MS).await.unwrap();
                if bells.is_empty() && store.take_bells(1, LEASE_MS).await.unwrap().is_empty() {
                    return taken;
                }
                taken.extend(bells.into_iter().map(|bell| bell.id));
            }
        });
    }

    let taken: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();

    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len(), "no bell is held twice");
    assert!(taken.len() <= 40 && !taken.is_empty());
}
