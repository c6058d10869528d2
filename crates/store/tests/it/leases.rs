//! Claims, fencing, heartbeats.

use crate::database::{Db, LAPSED_MS, LEASE_MS, new_shards, on_both, segment};
use domain::{BatchStatus, WorkerId};
use std::sync::Arc;
use store::CommitResult;
use tokio::task::JoinSet;

on_both!(
    many_workers_claim_a_shard_and_one_gets_it,
    a_stale_epoch_changes_nothing,
    a_lapsed_lease_is_taken_over_and_charged_as_a_crash,
    a_heartbeat_keeps_what_is_held_and_tells_what_is_lost,
    a_heartbeat_tells_of_a_cancel_and_of_a_closed_window,
    only_one_planner_adds_shards,
    a_batch_lease_is_exclusive_until_it_ends,
    ending_a_cancelled_batch_fences_its_zombies,
);

async fn many_workers_claim_a_shard_and_one_gets_it(db: Db) {
    let (_, shards) = db.running(&[2]).await;
    let shard = Arc::new(shards[0].clone());
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (store, shard) = (db.store.clone(), Arc::clone(&shard));
        tasks.spawn(async move { store.claim_shard(&shard, &WorkerId::generate(), LEASE_MS).await.unwrap() });
    }

    let leases: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();

    assert_eq!(leases.len(), 1);
    assert_eq!((leases[0].epoch, leases[0].shard.crash_count), (1, 0));
    assert_eq!(leases[0].batch.status, BatchStatus::InProgress);
}

async fn a_stale_epoch_changes_nothing(db: Db) {
    let (batch, shards) = db.running(&[2]).await;
    let zombie = db.claim(&shards[0], LAPSED_MS).await;
    let owner = db.claim(&shards[0], LEASE_MS).await;

    assert_eq!(db.store.commit_segment(&zombie, &segment(2, 0, &[0])).await.unwrap(), CommitResult::LeaseLost);
    assert!(!db.store.release_shard(&zombie, true).await.unwrap());
    let pulses = db.store.heartbeat(&zombie.owner, LEASE_MS, &[(shards[0].clone(), zombie.epoch)]).await.unwrap();

    assert!(!pulses[0].alive);
    assert_eq!(db.state(&batch).await.counts.recorded(), 0);
    let shard = &db.store.shards(&batch).await.unwrap()[0];
    assert_eq!((shard.epoch, shard.done.count(), shard.status.as_str()), (owner.epoch, 0, "leased"));
    assert!(db.store.segments(&batch).await.unwrap().is_empty());
}

async fn a_lapsed_lease_is_taken_over_and_charged_as_a_crash(db: Db) {
    let (_, shards) = db.running(&[2]).await;
    let first = db.claim(&shards[0], LAPSED_MS).await;

    let second = db.claim(&shards[0], LEASE_MS).await;

    assert_eq!((second.epoch, second.shard.crash_count), (first.epoch + 1, 1));
    assert!(db.store.release_shard(&second, true).await.unwrap());
    assert_eq!(db.claim(&shards[0], LEASE_MS).await.shard.crash_count, 2);
}

async fn a_heartbeat_keeps_what_is_held_and_tells_what_is_lost(db: Db) {
    let (_, shards) = db.running(&[1, 1, 1]).await;
    let worker = WorkerId::generate();
    let mut held = Vec::new();
    for shard in &shards {
        let lease = db.store.claim_shard(shard, &worker, LAPSED_MS).await.unwrap().unwrap();
        held.push((shard.clone(), lease.epoch));
    }
    db.claim(&shards[1], LEASE_MS).await;

    let pulses = db.store.heartbeat(&worker, LEASE_MS, &held).await.unwrap();

    for (shard, alive) in shards.iter().zip([true, false, true]) {
        let pulse = pulses.iter().find(|pulse| pulse.id == *shard).unwrap();
        assert_eq!((pulse.alive, pulse.batch_status, pulse.due), (alive, BatchStatus::InProgress, false));
    }
    assert!(db.store.claim_shard(&shards[0], &WorkerId::generate(), LEASE_MS).await.unwrap().is_none());
    assert!(db.store.heartbeat(&worker, LEASE_MS, &[]).await.unwrap().is_empty());
}

async fn a_heartbeat_tells_of_a_cancel_and_of_a_closed_window(db: Db) {
    let (batch, shards) = db.running(&[1]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    let held = [(shards[0].clone(), lease.epoch)];
    db.store.cancel_batch(&lease.batch.tenant, &batch).await.unwrap();

    let cancelled = db.store.heartbeat(&lease.owner, LEASE_MS, &held).await.unwrap();
    db.execute("UPDATE batches SET expires_at_ms = 1").await;
    let overdue = db.store.heartbeat(&lease.owner, LEASE_MS, &held).await.unwrap();

    assert_eq!((cancelled[0].alive, cancelled[0].batch_status), (true, BatchStatus::Cancelling));
    assert_eq!((overdue[0].alive, overdue[0].due), (false, true), "the grace is over");
}

async fn only_one_planner_adds_shards(db: Db) {
    let (batch, _) = db.running(&[2]).await;
    db.execute("UPDATE batches SET total_lines = 4").await;
    let mut next = new_shards(&[2, 2]);
    let next = [next.remove(1)];

    assert!(!db.store.plan_shards(&batch, 0, &next).await.unwrap(), "planned meanwhile");
    assert!(db.store.plan_shards(&batch, 2, &next).await.unwrap());
    assert!(!db.store.plan_shards(&batch, 4, &new_shards(&[1])).await.unwrap(), "more lines than there are");

    assert_eq!(db.state(&batch).await.planned_lines, 4);
    let planned = db.store.planned_shards(&batch).await.unwrap();
    assert_eq!((planned.unfinished, planned.next_ordinal), (2, 2));
    let ordinals: Vec<_> = db.store.shards(&batch).await.unwrap().iter().map(|shard| shard.ordinal).collect();
    assert_eq!(ordinals, [0, 1]);
}

async fn a_batch_lease_is_exclusive_until_it_ends(db: Db) {
    let batch = db.batch().await.id;
    let worker = WorkerId::generate();
    let first = db.store.claim_batch(&batch, &worker, LEASE_MS).await.unwrap().unwrap();

    assert!(db.store.claim_batch(&batch, &worker, LEASE_MS).await.unwrap().is_none());
    assert!(db.store.heartbeat_batch(&first, LAPSED_MS).await.unwrap());
    let second = db.store.claim_batch(&batch, &worker, LEASE_MS).await.unwrap().unwrap();

    assert_eq!(second.epoch, first.epoch + 1);
    assert!(!db.store.heartbeat_batch(&first, LEASE_MS).await.unwrap());
    assert!(!db.store.start_batch(&first, 5, None).await.unwrap());
    assert!(!db.store.fail_validation(&first, "[]").await.unwrap());
    assert!(db.store.release_batch(&second).await.unwrap());
    assert!(db.store.claim_batch(&batch, &worker, LEASE_MS).await.unwrap().is_some());
}

async fn ending_a_cancelled_batch_fences_its_zombies(db: Db) {
    let (batch, shards) = db.running(&[2]).await;
    let zombie = db.claim(&shards[0], LAPSED_MS).await;
    db.store.cancel_batch(&zombie.batch.tenant, &batch).await.unwrap();

    let lease = db.store.claim_batch(&batch, &WorkerId::generate(), LEASE_MS).await.unwrap();

    assert!(lease.is_some());
    assert_eq!(db.store.commit_segment(&zombie, &segment(2, 0, &[0])).await.unwrap(), CommitResult::LeaseLost);
    let held = [(shards[0].clone(), zombie.epoch)];
    assert!(!db.store.heartbeat(&zombie.owner, LEASE_MS, &held).await.unwrap()[0].alive);
    assert!(db.store.claim_shard(&shards[0], &zombie.owner, LEASE_MS).await.unwrap().is_none());
}
