//! Claims, fencing, heartbeats.

use crate::database::{Db, LAPSED_MS, LEASE_MS, new_shards, on_both, segment};
use domain::{BatchStatus, Bitmap, WorkerId};
use std::sync::Arc;
use store::{CommitResult, NewSegment, SUSPECT_CRASHES};
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
    what_was_asked_and_not_recorded_is_counted_once_when_the_next_one_claims,
    a_suspect_shard_is_charged_only_for_lines_that_were_at_work,
    a_stale_epoch_tells_nothing,
);

fn lines(of: usize, marked: &[usize]) -> Bitmap {
    let mut lines = Bitmap::new(of);
    marked.iter().for_each(|line| lines.set(*line));
    lines
}

async fn what_was_asked_and_not_recorded_is_counted_once_when_the_next_one_claims(db: Db) {
    let (batch, shards) = db.running(&[8]).await;
    let redone = async || (db.state(&batch).await.redone_requests, db.store.shards(&batch).await.unwrap()[0].redone);

    let killed = db.claim(&shards[0], LAPSED_MS).await;
    assert!(db.store.tell_asked(&killed, &lines(8, &[0, 1, 2, 3])).await.unwrap());
    let checkpoint = NewSegment { asked: lines(8, &[2, 3, 4]), ..segment(8, 0, &[0, 1]) };
    db.store.commit_segment(&killed, &checkpoint).await.unwrap();
    assert_eq!(redone().await, (0, 0), "nothing is lost yet");
    let second = db.claim(&shards[0], LAPSED_MS).await;
    assert_eq!(redone().await, (3, 3), "lines 2, 3 and 4");
    assert_eq!(second.shard.asked, Some(lines(8, &[2, 3, 4])));
    let third = db.claim(&shards[0], LEASE_MS).await;
    assert_eq!(redone().await, (3, 3), "the second one told of none");
    db.store.release_shard(&third, false, Some(&lines(8, &[7]))).await.unwrap();
    db.claim(&shards[0], LEASE_MS).await;

    assert_eq!(redone().await, (4, 4));
}

async fn a_suspect_shard_is_charged_only_for_lines_that_were_at_work(db: Db) {
    let (_, shards) = db.running(&[8]).await;
    for crashes in 0..SUSPECT_CRASHES {
        assert_eq!(db.claim(&shards[0], LAPSED_MS).await.shard.crash_count, crashes);
    }
    let told = async |trial: &[usize]| {
        let lease = db.claim(&shards[0], LAPSED_MS).await;
        assert!(db.store.tell_trial(&lease, &lines(8, trial)).await.unwrap());
        lease.shard.crash_count
    };

    assert_eq!(told(&[0, 1, 2, 3]).await, 2);
    assert_eq!(told(&[0, 1]).await, 3, "four lines were at work");
    assert_eq!(told(&[1]).await, 3, "other lines begin anew");
    assert_eq!(told(&[1]).await, 3);
    let waits = db.claim(&shards[0], LAPSED_MS).await;
    assert_eq!(waits.shard.crash_count, 4, "the same line twice");
    assert_eq!(told(&[1]).await, 4, "the one before had asked none");
    assert_eq!(db.store.sweep(0).await.unwrap().pointers.len(), 1);
    let last = db.claim(&shards[0], LAPSED_MS).await;
    assert_eq!(last.shard.crash_count, 5);
    db.store.commit_segment(&last, &segment(8, 0, &[1])).await.unwrap();
    let others = db.claim(&shards[0], LEASE_MS).await;
    assert_eq!(others.shard.crash_count, SUSPECT_CRASHES, "a finished line does not clear it");
    assert!(db.store.end_trial(&others).await.unwrap());
    db.store.release_shard(&others, false, None).await.unwrap();
    let cleared = db.claim(&shards[0], LEASE_MS).await.shard;
    assert_eq!((cleared.crash_count, cleared.redone), (0, 0), "to be told of is not to be asked");
}

async fn a_stale_epoch_tells_nothing(db: Db) {
    let (_, shards) = db.running(&[2]).await;
    let zombie = db.claim(&shards[0], LAPSED_MS).await;
    db.claim(&shards[0], LAPSED_MS).await;

    assert!(!db.store.tell_asked(&zombie, &lines(2, &[0])).await.unwrap());
    assert!(!db.store.tell_trial(&zombie, &lines(2, &[0])).await.unwrap());

    let shard = db.claim(&shards[0], LEASE_MS).await.shard;
    assert_eq!((shard.asked, shard.trial), (None, None));
}

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
    assert!(!db.store.release_shard(&zombie, true, None).await.unwrap());
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
    assert!(db.store.release_shard(&second, true, None).await.unwrap());
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
