//! What owners ask of batches that run.

use crate::database::{Db, LEASE_MS, new_batch, on_both, segment};
use domain::{BatchStatus, DailyWindow, Kind, Priority, Terms, WorkerId};
use store::{BatchPatch, NewBatch};

on_both!(
    a_paused_batch_begins_nothing_and_its_shards_hear_of_it,
    a_pause_moves_the_deadline_only_when_asked,
    a_batch_waits_for_its_beginning_and_its_time_of_the_day,
    a_change_says_what_it_changes,
    a_lower_cap_lets_go_of_the_shards_beyond_it,
    what_has_ended_is_not_changed,
    a_batch_that_could_never_begin_is_refused,
);

async fn claims(db: &Db) -> bool {
    let lease = db.store.claim_next_shard(&WorkerId::generate(), LEASE_MS, None).await.unwrap();
    if let Some(lease) = &lease {
        db.store.release_shard(lease, false, None).await.unwrap();
    }
    lease.is_some()
}

async fn a_paused_batch_begins_nothing_and_its_shards_hear_of_it(db: Db) {
    let (batch, shards) = db.running(&[2, 2]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    let held = [(shards[0].clone(), lease.epoch)];
    let tenant = &lease.batch.tenant;
    assert!(!db.store.heartbeat(&lease.owner, LEASE_MS, &held).await.unwrap()[0].held);

    let paused = db.store.pause_batch(tenant, &batch).await.unwrap().unwrap();
    let again = db.store.pause_batch(tenant, &batch).await.unwrap().unwrap();

    assert!(paused.paused_at_ms.is_some() && paused.paused_at_ms == again.paused_at_ms);
    let pulse = db.store.heartbeat(&lease.owner, LEASE_MS, &held).await.unwrap().remove(0);
    assert!(pulse.held && pulse.alive && pulse.batch_status == BatchStatus::InProgress);
    assert!(!claims(&db).await);
    assert!(db.store.commit_segment(&lease, &segment(2, 0, &[0])).await.is_ok(), "what was in flight counts");
    db.execute("UPDATE shards SET rung_at_ms = 0").await;
    assert!(db.store.sweep(0).await.unwrap().pointers.is_empty(), "nobody is woken for it");
    db.store.resume_batch(tenant, &batch, false).await.unwrap().unwrap();
    assert!(claims(&db).await);
}

async fn a_pause_moves_the_deadline_only_when_asked(db: Db) {
    let (batch, _) = db.running(&[1]).await;
    let tenant = db.tenant().await;
    let before = db.state(&batch).await.expires_at_ms;

    for (extends, moved) in [(false, 0), (true, 60_000)] {
        db.store.pause_batch(&tenant, &batch).await.unwrap();
        db.execute("UPDATE batches SET paused_at_ms = paused_at_ms - 60000").await;
        let resumed = db.store.resume_batch(&tenant, &batch, extends).await.unwrap().unwrap();

        let by = resumed.expires_at_ms - before;
        assert!((moved..moved + 30_000).contains(&by), "{by}");
    }
    let running = db.store.resume_batch(&tenant, &batch, true).await.unwrap().unwrap();
    assert_eq!(running.paused_at_ms, None, "resuming what runs changes nothing");
}

async fn a_batch_waits_for_its_beginning_and_its_time_of_the_day(db: Db) {
    let (batch, _) = db.running(&[1]).await;
    let tenant = db.tenant().await;
    let now_ms = db.store.now_ms().await.unwrap();
    let minute = now_ms / 60_000 % 1440;
    let window = |from: i64, to: i64| {
        let at = |minute: i64| minute.rem_euclid(1440);
        Some(DailyWindow::from_minutes(at(minute + from), at(minute + to)).unwrap())
    };
    let early = BatchPatch { not_before_ms: Some(Some(now_ms + 3_600_000)), ..BatchPatch::default() };
    let open = BatchPatch { not_before_ms: Some(None), ..BatchPatch::default() };
    let daily = |between| BatchPatch { run_between: Some(between), ..BatchPatch::default() };

    for (patch, runs) in [
        (early, false),
        (open, true),
        // Whatever the time is, one of these reaches over midnight.
        (daily(window(-600, 600)), true),
        (daily(window(-600, -60)), false),
        (daily(window(60, 600)), false),
        (daily(window(60, -60)), false),
        (daily(window(-60, -120)), true),
        (daily(None), true),
    ] {
        db.store.patch_batch(&tenant, &batch, &patch).await.unwrap().unwrap();
        assert_eq!(claims(&db).await, runs, "{patch:?}");
    }
}

async fn a_change_says_what_it_changes(db: Db) {
    let (batch, shards) = db.running(&[1]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    let tenant = db.tenant().await;
    let expires_at_ms = lease.batch.expires_at_ms + 3_600_000;
    let patch = BatchPatch {
        priority: Some(Priority::Urgent),
        max_concurrency: Some(Some(7)),
        expires_at_ms: Some(expires_at_ms),
        ..BatchPatch::default()
    };

    let changed = db.store.patch_batch(&tenant, &batch, &patch).await.unwrap().unwrap();

    let terms = Terms { priority: Priority::Urgent, max_concurrency: Some(7), ..Terms::default() };
    assert_eq!((changed.terms, changed.expires_at_ms), (terms, expires_at_ms));
    let pulse =
        db.store.heartbeat(&lease.owner, LEASE_MS, &[(shards[0].clone(), lease.epoch)]).await.unwrap().remove(0);
    assert_eq!(pulse.max_concurrency, Some(7));
    assert!(pulse.left_ms > 86_400_000);
    let stranger = db.store.ensure_tenant("stranger").await.unwrap().id;
    assert!(db.store.patch_batch(&stranger, &batch, &patch).await.unwrap().is_none());
    assert!(db.store.pause_batch(&stranger, &batch).await.unwrap().is_none());
    let past = BatchPatch { expires_at_ms: Some(1), ..BatchPatch::default() };
    assert_eq!(db.store.patch_batch(&tenant, &batch, &past).await.unwrap_err().param(), Some("expires_at"));
}

async fn a_lower_cap_lets_go_of_the_shards_beyond_it(db: Db) {
    let (batch, shards) = db.running(&[1, 1, 1]).await;
    let worker = WorkerId::generate();
    let mut held = Vec::new();
    for shard in &shards {
        let lease = db.store.claim_shard(shard, &worker, LEASE_MS).await.unwrap().unwrap();
        held.push((shard.clone(), lease.epoch));
    }

    let cap = BatchPatch { max_concurrency: Some(Some(65)), ..BatchPatch::default() };
    db.store.patch_batch(&db.tenant().await, &batch, &cap).await.unwrap();

    let pulses = db.store.heartbeat(&worker, LEASE_MS, &held).await.unwrap();
    let is_held = |shard: &domain::ShardId| pulses.iter().find(|pulse| pulse.id == *shard).unwrap().held;
    assert_eq!(shards.iter().map(is_held).collect::<Vec<_>>(), [false, false, true]);
}

async fn what_has_ended_is_not_changed(db: Db) {
    let (batch, _) = db.running(&[1]).await;
    let tenant = db.tenant().await;
    db.store.cancel_batch(&tenant, &batch).await.unwrap();

    let patch = BatchPatch { priority: Some(Priority::Idle), ..BatchPatch::default() };
    let refused = db.store.patch_batch(&tenant, &batch, &patch).await.unwrap_err();

    assert_eq!(refused.kind(), Kind::Conflict);
    assert_eq!(db.store.pause_batch(&tenant, &batch).await.unwrap_err().kind(), Kind::Conflict);
    let (due, _) = db.running(&[1]).await;
    db.execute(&format!("UPDATE batches SET expires_at_ms = 1 WHERE id = '{due}'")).await;
    assert_eq!(db.store.resume_batch(&tenant, &due, true).await.unwrap_err().kind(), Kind::Conflict);
}

async fn a_batch_that_could_never_begin_is_refused(db: Db) {
    let late = db.store.now_ms().await.unwrap() + 2 * 86_400_000;
    let terms = Terms { not_before_ms: Some(late), ..Terms::default() };

    let refused = db.store.insert_batch(NewBatch { terms, ..new_batch(&db.tenant().await) }).await.unwrap_err();

    assert_eq!((refused.kind(), refused.param()), (Kind::InvalidRequest, Some("not_before")));
}
