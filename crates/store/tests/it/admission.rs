//! Limits of enqueued tokens.

use crate::database::{Db, LEASE_MS, TOKENS_A_LINE, new_batch, on_both, segment};
use domain::{BatchStatus, Kind, Limit, LimitId, LimitKind, LineCounts, SubjectKind, WorkerId};
use store::{Author, FinishBatch, NewBatch, Store};
use tokio::task::JoinSet;

on_both!(
    creates_at_once_never_pass_the_limit,
    finished_and_ended_lines_make_room,
    a_limit_of_one_model_counts_its_lines,
    only_a_tenant_has_such_a_limit,
);

impl Db {
    async fn allow(&self, amount: i64, model: Option<&str>) {
        let tenant = self.tenant().await;
        let limit = Limit {
            id: LimitId::generate(),
            subject: tenant.to_string(),
            tenant,
            subject_kind: SubjectKind::Tenant,
            model: model.map(str::to_owned),
            kind: LimitKind::EnqueuedTokens,
            amount,
        };
        let author = Author { actor: "test".to_owned(), request_id: None };
        self.store.create_limit(&author, &limit).await.unwrap();
    }

    async fn batch_of(&self, tokens: &[(&str, i64)]) -> NewBatch {
        let tokens = tokens.iter().map(|(model, tokens)| ((*model).to_owned(), *tokens)).collect();
        NewBatch { tokens, ..new_batch(&self.tenant().await) }
    }
}

async fn creates_at_once_never_pass_the_limit(db: Db) {
    db.allow(1_000, None).await;
    // Two gateways on one database.
    let stores = [db.store.clone(), Store::open(&db.url).await.unwrap()];
    let mut tasks = JoinSet::new();
    for at in 0..16 {
        let (store, batch) = (stores[at % 2].clone(), db.batch_of(&[("m", 300)]).await);
        tasks.spawn(async move { store.insert_batch(batch).await });
    }

    let outcomes = tasks.join_all().await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(
            (refused.kind(), refused.code()),
            (Kind::RateLimited { retry_after: None }, Some("token_limit_exceeded"))
        );
        assert!(refused.message().contains("900 are enqueued already, and the limit is 1000"), "{}", refused.message());
    }
    stores[1].close().await;
}

async fn finished_and_ended_lines_make_room(db: Db) {
    db.allow(100, None).await;
    let tenant = db.tenant().await;
    let enqueued = async || db.store.enqueued_tokens(&tenant, None).await.unwrap();
    let first = db.batch_of(&[("m", 3 * TOKENS_A_LINE)]).await;
    let id = first.id.clone();
    let shards = db.run(first, &[3]).await;
    let second = db.store.insert_batch(db.batch_of(&[("m", 70)]).await).await.unwrap();
    assert!(db.store.insert_batch(db.batch_of(&[("m", 1)]).await).await.is_err());

    let lease = db.claim(&shards[0], LEASE_MS).await;
    db.store.commit_segment(&lease, &segment(3, 0, &[0, 1])).await.unwrap();
    assert_eq!(enqueued().await, 80);
    db.store.insert_batch(db.batch_of(&[("m", 20)]).await).await.unwrap();

    db.store.cancel_batch(&tenant, &second.id).await.unwrap();
    assert_eq!(enqueued().await, 30);
    db.store.release_shard(&lease, false, None).await.unwrap();
    db.execute(&format!("UPDATE batches SET expires_at_ms = 1 WHERE id = '{id}'")).await;
    let ending = db.store.claim_batch(&id, &WorkerId::generate(), LEASE_MS).await.unwrap().unwrap();
    let counts = LineCounts { completed: 2, expired: 1, ..LineCounts::default() };
    let finish = FinishBatch { status: BatchStatus::Expired, output: None, error: None, counts, parts: Vec::new() };
    assert!(db.store.finish_batch(&ending, finish).await.unwrap());
    assert_eq!(enqueued().await, 20);
}

async fn a_limit_of_one_model_counts_its_lines(db: Db) {
    db.allow(100, Some("scarce")).await;
    db.store.insert_batch(db.batch_of(&[("scarce", 60), ("m", 5_000)]).await).await.unwrap();

    let refused = db.store.insert_batch(db.batch_of(&[("scarce", 41)]).await).await.unwrap_err();
    assert!(refused.message().contains("41 tokens of the model `scarce`, 60 are enqueued"), "{}", refused.message());
    let never = db.store.insert_batch(db.batch_of(&[("scarce", 101)]).await).await.unwrap_err();
    assert!(never.message().contains("Split it"), "{}", never.message());

    db.store.insert_batch(db.batch_of(&[("m", 5_000)]).await).await.unwrap();
    db.store.insert_batch(db.batch_of(&[("scarce", 40)]).await).await.unwrap();
}

async fn only_a_tenant_has_such_a_limit(db: Db) {
    let limit = Limit {
        id: LimitId::generate(),
        tenant: db.tenant().await,
        subject_kind: SubjectKind::Principal,
        subject: "issuer:somebody".to_owned(),
        model: None,
        kind: LimitKind::EnqueuedTokens,
        amount: 1,
    };
    let author = Author { actor: "test".to_owned(), request_id: None };

    let refused = db.store.create_limit(&author, &limit).await.unwrap_err();

    assert_eq!((refused.kind(), refused.param()), (Kind::InvalidRequest, Some("subject_kind")));
    assert!(db.store.all_limits().await.unwrap().is_empty());
}
