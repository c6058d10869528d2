//! Outcomes of requests with an idempotency key.

use crate::database::{Db, LAPSED_MS, LEASE_MS, on_both};
use store::{Begun, IdempotencyClaim, IdempotencyKey, IdempotentOutcome};
use tokio::task::JoinSet;

const DAY_MS: i64 = 86_400_000;

on_both!(
    of_many_claims_one_starts_and_the_others_see_it_run,
    an_outcome_is_kept_until_it_expires,
    a_lapsed_lease_is_taken_over_by_the_same_request_only,
    a_released_key_starts_again,
    who_lost_the_lease_changes_nothing,
    what_expired_is_purged_and_what_runs_is_not,
);

async fn claim(db: &Db, key: &str, owner: &str) -> IdempotencyClaim {
    let key = IdempotencyKey { tenant: db.tenant().await, key_sha256: key.to_owned() };
    IdempotencyClaim { key, owner: owner.to_owned(), request_sha256: "r".to_owned() }
}

fn outcome(body: Option<&[u8]>) -> IdempotentOutcome {
    let body = body.map(<[u8]>::to_vec);
    IdempotentOutcome { request_sha256: "r".to_owned(), status: 200, headers_json: "{}".to_owned(), body }
}

fn running() -> Begun {
    Begun::Running { request_sha256: "r".to_owned() }
}

async fn of_many_claims_one_starts_and_the_others_see_it_run(db: Db) {
    let mut tasks = JoinSet::new();
    for n in 0..16 {
        let (store, claim) = (db.store.clone(), claim(&db, "k", &n.to_string()).await);
        tasks.spawn(async move { store.begin_idempotent(&claim, LEASE_MS, DAY_MS).await.unwrap() });
    }

    let begun = tasks.join_all().await;

    assert_eq!(begun.iter().filter(|begun| **begun == Begun::Started).count(), 1);
    assert_eq!(begun.iter().filter(|begun| **begun == running()).count(), 15);
}

async fn an_outcome_is_kept_until_it_expires(db: Db) {
    for (key, body) in [("small", Some(&b"\0bytes"[..])), ("large", None)] {
        let claim = claim(&db, key, "a").await;
        assert_eq!(db.store.begin_idempotent(&claim, LEASE_MS, DAY_MS).await.unwrap(), Begun::Started);
        assert!(db.store.finish_idempotent(&claim, outcome(body), DAY_MS).await.unwrap());

        assert_eq!(db.store.begin_idempotent(&claim, LEASE_MS, DAY_MS).await.unwrap(), Begun::Done(outcome(body)));

        db.execute("UPDATE idempotency_records SET expires_at_ms = 0").await;
        assert_eq!(db.store.begin_idempotent(&claim, LEASE_MS, DAY_MS).await.unwrap(), Begun::Started);
    }
}

async fn a_lapsed_lease_is_taken_over_by_the_same_request_only(db: Db) {
    let dead = claim(&db, "k", "dead").await;
    db.store.begin_idempotent(&dead, LAPSED_MS, DAY_MS).await.unwrap();
    let heir = claim(&db, "k", "heir").await;
    let other = IdempotencyClaim { request_sha256: "other".to_owned(), ..heir.clone() };

    assert_eq!(db.store.begin_idempotent(&other, LEASE_MS, DAY_MS).await.unwrap(), running());
    assert_eq!(db.store.begin_idempotent(&heir, LEASE_MS, DAY_MS).await.unwrap(), Begun::Started);
}

async fn a_released_key_starts_again(db: Db) {
    let claim = claim(&db, "k", "a").await;
    db.store.begin_idempotent(&claim, LEASE_MS, DAY_MS).await.unwrap();

    assert!(db.store.release_idempotent(&claim).await.unwrap());

    assert_eq!(db.store.begin_idempotent(&claim, LEASE_MS, DAY_MS).await.unwrap(), Begun::Started);
}

async fn who_lost_the_lease_changes_nothing(db: Db) {
    let zombie = claim(&db, "k", "zombie").await;
    db.store.begin_idempotent(&zombie, LAPSED_MS, DAY_MS).await.unwrap();
    let owner = claim(&db, "k", "owner").await;
    db.store.begin_idempotent(&owner, LEASE_MS, DAY_MS).await.unwrap();

    assert!(!db.store.renew_idempotent(&zombie, LEASE_MS).await.unwrap());
    assert!(!db.store.finish_idempotent(&zombie, outcome(None), DAY_MS).await.unwrap());
    assert!(!db.store.release_idempotent(&zombie).await.unwrap());

    assert!(db.store.renew_idempotent(&owner, LEASE_MS).await.unwrap());
    assert!(db.store.finish_idempotent(&owner, outcome(None), DAY_MS).await.unwrap());
}

async fn what_expired_is_purged_and_what_runs_is_not(db: Db) {
    for (key, lease_ms) in [("live", LEASE_MS), ("dead", LAPSED_MS), ("done", LEASE_MS)] {
        db.store.begin_idempotent(&claim(&db, key, "a").await, lease_ms, DAY_MS).await.unwrap();
    }
    db.store.finish_idempotent(&claim(&db, "done", "a").await, outcome(None), DAY_MS).await.unwrap();
    assert_eq!(db.store.purge_idempotent(10).await.unwrap(), 0);

    db.execute("UPDATE idempotency_records SET expires_at_ms = 0").await;

    assert_eq!(db.store.purge_idempotent(1).await.unwrap(), 1);
    assert_eq!(db.store.purge_idempotent(10).await.unwrap(), 1);
    assert!(db.store.renew_idempotent(&claim(&db, "live", "a").await, LEASE_MS).await.unwrap());
}
