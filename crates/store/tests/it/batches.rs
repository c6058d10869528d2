//! The life of a batch: made, listed, cancelled, ended.

use crate::database::{Db, LEASE_MS, new_batch, new_file, on_both, segment};
use domain::{BatchId, BatchStatus, Kind, LineCounts, TenantId, WorkerId};
use std::collections::BTreeSet;
use store::{BatchLease, FinishBatch, Leftovers};

on_both!(
    a_new_batch_is_validating_and_its_tenants_only,
    pages_of_one_cover_batches_of_equal_age_exactly_once,
    a_failed_validation_keeps_its_errors_and_is_the_end,
    the_happy_path_ends_completed_with_files_that_appear_with_the_status,
    cancel_and_finish_race_and_exactly_one_wins,
    cancelling_twice_is_fine_and_cancelling_the_finished_is_a_conflict,
    a_batch_that_does_not_add_up_is_not_finished,
    a_due_batch_ends_expired,
    an_ended_batch_is_cleared_once_and_keeps_its_files,
);

fn finish(status: BatchStatus, counts: LineCounts) -> FinishBatch {
    FinishBatch { status, output: None, error: None, counts, parts: Vec::new() }
}

fn completed(completed: i64) -> LineCounts {
    LineCounts { completed, ..LineCounts::default() }
}

/// A batch of two lines, both done, claimed for its end.
async fn finalizing(db: &Db) -> BatchLease {
    let (batch, shards) = db.running(&[2]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    db.store.commit_segment(&lease, &segment(2, 0, &[0, 1])).await.unwrap();
    assert!(db.store.begin_finalize(&batch).await.unwrap());
    db.store.claim_batch(&batch, &WorkerId::generate(), LEASE_MS).await.unwrap().unwrap()
}

async fn a_new_batch_is_validating_and_its_tenants_only(db: Db) {
    let made = db.batch().await;

    let found = db.store.batch(&made.tenant, &made.id).await.unwrap().unwrap();

    assert_eq!((found.status, found.counts, found.epoch), (BatchStatus::Validating, LineCounts::default(), 0));
    assert_eq!(found.expires_at_ms - found.created_at_ms, 86_400_000);
    assert_eq!(found.metadata.as_deref(), Some(r#"{"k":"v"}"#));
    assert!(found.traceparent.is_some());
    assert!(!found.is_due());
    assert!(db.store.batch(&TenantId::generate(), &made.id).await.unwrap().is_none());
}

async fn pages_of_one_cover_batches_of_equal_age_exactly_once(db: Db) {
    let tenant = db.tenant().await;
    for _ in 0..3 {
        db.store.insert_batch(new_batch(&tenant)).await.unwrap();
    }
    db.execute("UPDATE batches SET created_at_ms = 7").await;

    let (mut seen, mut after, mut more) = (Vec::new(), None, true);
    while more {
        let page;
        (page, more) = db.store.list_batches(&tenant, after.as_ref(), 1).await.unwrap();
        after = Some(page[0].id.clone());
        seen.push(page[0].id.clone());
    }

    assert_eq!(seen.len(), 3);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 3);
    let unknown = db.store.list_batches(&tenant, Some(&BatchId::generate()), 1).await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::InvalidRequest);
}

async fn a_failed_validation_keeps_its_errors_and_is_the_end(db: Db) {
    let batch = db.batch().await.id;
    let lease = db.store.claim_batch(&batch, &WorkerId::generate(), LEASE_MS).await.unwrap().unwrap();

    assert!(db.store.fail_validation(&lease, "[1]").await.unwrap());

    let ended = db.state(&batch).await;
    assert_eq!((ended.status, ended.errors_json.as_deref()), (BatchStatus::Failed, Some("[1]")));
    assert!(ended.failed_at_ms.is_some());
    assert!(!db.store.start_batch(&lease, 1, None).await.unwrap());
    assert!(db.store.claim_batch(&batch, &WorkerId::generate(), LEASE_MS).await.unwrap().is_none());
}

async fn the_happy_path_ends_completed_with_files_that_appear_with_the_status(db: Db) {
    let lease = finalizing(&db).await;
    let output = new_file(&lease.batch.tenant, "batch_output");

    let finish = FinishBatch { output: Some(output.clone()), ..finish(BatchStatus::Completed, completed(2)) };
    assert!(db.store.finish_batch(&lease, finish.clone()).await.unwrap());

    let ended = db.state(&lease.batch.id).await;
    assert_eq!((ended.status, ended.output_file_id), (BatchStatus::Completed, Some(output.id.clone())));
    assert_eq!((ended.error_file_id, ended.counts), (None, completed(2)));
    assert_eq!((ended.usage.input, ended.usage.output, ended.redone_requests), (10, 5, 0));
    assert!(ended.in_progress_at_ms.is_some() && ended.finalizing_at_ms.is_some() && ended.completed_at_ms.is_some());
    assert!(db.store.file(&ended.tenant, &output.id).await.unwrap().is_some());
    assert!(!db.store.finish_batch(&lease, finish).await.unwrap(), "an end is final");
}

async fn cancel_and_finish_race_and_exactly_one_wins(db: Db) {
    for _ in 0..8 {
        let lease = finalizing(&db).await;
        let file = new_file(&lease.batch.tenant, "batch_output");
        let end = FinishBatch { output: Some(file.clone()), ..finish(BatchStatus::Completed, completed(2)) };

        let (finished, cancelled) = tokio::join!(
            db.store.finish_batch(&lease, end),
            db.store.cancel_batch(&lease.batch.tenant, &lease.batch.id)
        );

        let now = db.state(&lease.batch.id).await;
        assert_ne!(finished.unwrap(), cancelled.is_ok());
        let expected = if cancelled.is_ok() { BatchStatus::Cancelling } else { BatchStatus::Completed };
        assert_eq!(now.status, expected);
        assert_eq!(now.completed_at_ms.is_some(), cancelled.is_err());
        assert_eq!(db.store.file(&now.tenant, &file.id).await.unwrap().is_some(), cancelled.is_err());
    }
}

async fn cancelling_twice_is_fine_and_cancelling_the_finished_is_a_conflict(db: Db) {
    let batch = db.batch().await;
    let held = db.store.claim_batch(&batch.id, &WorkerId::generate(), LEASE_MS).await.unwrap().unwrap();

    let first = db.store.cancel_batch(&batch.tenant, &batch.id).await.unwrap().unwrap();
    let second = db.store.cancel_batch(&batch.tenant, &batch.id).await.unwrap().unwrap();

    assert_eq!((first.status, first.cancelling_at_ms), (BatchStatus::Cancelling, second.cancelling_at_ms));
    assert!(!db.store.start_batch(&held, 1, None).await.unwrap(), "a cancel takes the lease away");
    let lease = db.store.claim_batch(&batch.id, &WorkerId::generate(), LEASE_MS).await.unwrap().unwrap();
    assert!(db.store.finish_batch(&lease, finish(BatchStatus::Cancelled, completed(0))).await.unwrap());
    let third = db.store.cancel_batch(&batch.tenant, &batch.id).await.unwrap().unwrap();
    assert_eq!(third.status, BatchStatus::Cancelled);
    assert!(db.store.cancel_batch(&batch.tenant, &BatchId::generate()).await.unwrap().is_none());

    let lease = finalizing(&db).await;
    db.store.finish_batch(&lease, finish(BatchStatus::Completed, completed(2))).await.unwrap();
    let error = db.store.cancel_batch(&batch.tenant, &lease.batch.id).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
}

async fn a_batch_that_does_not_add_up_is_not_finished(db: Db) {
    let lease = finalizing(&db).await;

    let error = db.store.finish_batch(&lease, finish(BatchStatus::Completed, completed(1))).await.unwrap_err();

    assert_eq!(error.kind(), Kind::Internal);
    assert_eq!(db.state(&lease.batch.id).await.status, BatchStatus::Finalizing);
}

async fn a_due_batch_ends_expired(db: Db) {
    let (batch, shards) = db.running(&[2]).await;
    let running = db.claim(&shards[0], LEASE_MS).await;
    db.store.commit_segment(&running, &segment(2, 0, &[0])).await.unwrap();
    db.execute("UPDATE batches SET expires_at_ms = 1").await;
    let worker = WorkerId::generate();

    assert!(db.store.claim_batch(&batch, &worker, LEASE_MS).await.unwrap().is_none(), "a shard still runs");
    assert!(db.store.release_shard(&running, false, None).await.unwrap());
    assert!(db.store.claim_shard(&shards[0], &worker, LEASE_MS).await.unwrap().is_none(), "too late to begin");
    let lease = db.store.claim_batch(&batch, &worker, LEASE_MS).await.unwrap().unwrap();
    let counts = LineCounts { completed: 1, expired: 1, ..LineCounts::default() };
    assert!(db.store.finish_batch(&lease, finish(BatchStatus::Expired, counts)).await.unwrap());

    let ended = db.state(&batch).await;
    assert_eq!((ended.status, ended.counts), (BatchStatus::Expired, counts));
}

async fn an_ended_batch_is_cleared_once_and_keeps_its_files(db: Db) {
    let lease = finalizing(&db).await;
    assert!(db.store.leftovers(0, 10).await.unwrap().is_empty(), "it has not ended");
    let output = new_file(&lease.batch.tenant, "batch_output");
    let end = FinishBatch { output: Some(output.clone()), ..finish(BatchStatus::Completed, completed(2)) };
    assert!(db.store.finish_batch(&lease, end).await.unwrap());

    let young = db.store.leftovers(60_000, 10).await.unwrap();
    let found = db.store.leftovers(0, 10).await.unwrap();

    assert!(young.is_empty());
    assert_eq!(found, [Leftovers { batch: lease.batch.id.clone(), keep: vec![output.blob] }]);
    assert!(db.store.mark_cleared(&lease.batch.id).await.unwrap());
    assert!(!db.store.mark_cleared(&lease.batch.id).await.unwrap());
    assert!(db.store.leftovers(0, 10).await.unwrap().is_empty());
}
