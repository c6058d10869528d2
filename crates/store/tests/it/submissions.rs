//! Jobs that came as messages, and what their senders are told.

use crate::database::{Db, new_batch, on_both};
use domain::{BatchEventKind, Kind};
use store::Submission;
use tokio::task::JoinSet;

on_both!(
    a_message_that_comes_twice_is_one_batch,
    a_name_that_another_job_has_is_refused,
    tenants_name_their_jobs_each_by_itself,
    of_those_who_make_it_at_once_one_does,
    events_wait_for_whoever_tells_them_and_for_the_next_if_he_dies,
    nothing_is_collected_where_nobody_is_told,
);

fn submission(content: u8) -> Submission {
    Submission { id: "nightly-1".to_owned(), digest: [content; 32], reply_to: Some("answers".to_owned()) }
}

async fn a_message_that_comes_twice_is_one_batch(db: Db) {
    let tenant = db.tenant().await;
    assert_eq!(db.store.submitted(&tenant, &submission(1)).await.unwrap(), None);

    let batch = db.store.insert_submitted(new_batch(&tenant), &submission(1)).await.unwrap().unwrap();

    assert_eq!(db.store.submitted(&tenant, &submission(1)).await.unwrap(), Some(batch.id.clone()));
    assert!(db.store.insert_submitted(new_batch(&tenant), &submission(1)).await.unwrap().is_none());
    assert_eq!(db.store.list_batches(&tenant, None, 10).await.unwrap().0.len(), 1);
}

async fn a_name_that_another_job_has_is_refused(db: Db) {
    let tenant = db.tenant().await;
    db.store.insert_submitted(new_batch(&tenant), &submission(1)).await.unwrap();

    let error = db.store.submitted(&tenant, &submission(2)).await.unwrap_err();

    assert_eq!((error.kind(), error.code()), (Kind::Conflict, Some("submission_id_reused")));
}

async fn tenants_name_their_jobs_each_by_itself(db: Db) {
    let (acme, other) = (db.tenant().await, db.store.ensure_tenant("other").await.unwrap().id);

    for tenant in [&acme, &other] {
        assert!(db.store.insert_submitted(new_batch(tenant), &submission(1)).await.unwrap().is_some());
    }
}

async fn of_those_who_make_it_at_once_one_does(db: Db) {
    let tenant = db.tenant().await;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (store, batch) = (db.store.clone(), new_batch(&tenant));
        tasks.spawn(async move { store.insert_submitted(batch, &submission(1)).await.unwrap().is_some() });
    }

    let made = tasks.join_all().await;

    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    assert_eq!(db.store.list_batches(&tenant, None, 10).await.unwrap().0.len(), 1);
}

async fn events_wait_for_whoever_tells_them_and_for_the_next_if_he_dies(db: Db) {
    let db = Db { store: db.store.clone().publishing_events(true), url: db.url.clone() };
    let (batch, _) = db.running(&[1]).await;

    let held = db.store.claim_events(10, 60_000).await.unwrap();

    assert_eq!(held.len(), 1);
    assert_eq!((&held[0].event.batch, held[0].event.kind), (&batch, BatchEventKind::InProgress));
    assert!(db.store.claim_events(10, 60_000).await.unwrap().is_empty(), "somebody holds it");
    assert_eq!(db.store.events_state().await.unwrap().waiting, 1);
    db.execute("UPDATE event_outbox SET held_until_ms = 0").await;
    let again = db.store.claim_events(10, 60_000).await.unwrap();
    assert_eq!(again[0].event, held[0].event);
    db.store.ack_events(&[&held[0].event.id]).await.unwrap();
    assert_eq!(db.store.events_state().await.unwrap().waiting, 0);
}

async fn nothing_is_collected_where_nobody_is_told(db: Db) {
    db.running(&[1]).await;

    assert_eq!(db.store.events_state().await.unwrap().waiting, 0);
}
