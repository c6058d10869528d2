//! Leases of limits between replicas.

use crate::database::{Db, on_both};
use domain::{LimitId, LimitKind, ReplicaId};
use store::{LeaseGrant, LeaseReport, LimitState};

const TTL_MS: i64 = 60_000;
/// Has lapsed by the time it is granted.
const LAPSED_MS: i64 = -1;

on_both!(
    what_replicas_hold_together_is_within_the_limit,
    a_report_that_comes_twice_counts_once,
    a_lapsed_lease_counts_as_used,
    a_lapsed_lease_of_running_requests_is_free_again,
    a_replica_that_was_thought_dead_sets_its_account_right,
    a_report_whose_answer_was_lost_counts_once_also_when_the_lease_lapsed_since,
    a_correction_is_booked_where_the_use_was,
    a_budget_says_when_it_begins_anew,
    a_limit_that_is_gone_has_no_grant,
    replicas_that_ask_at_once_do_not_block_each_other,
);

async fn limit(db: &Db, kind: LimitKind, amount: i64) -> LimitId {
    let (tenant, id) = (db.tenant().await, LimitId::generate());
    db.execute(&format!(
        "INSERT INTO limits (id, tenant_id, subject_kind, subject, model, kind, amount, created_at_ms) \
         VALUES ('{id}', '{tenant}', 'tenant', '{tenant}', '{id}', '{}', {amount}, 0)",
        kind.as_str()
    ))
    .await;
    id
}

fn report(limit: &LimitId, seq: i64) -> LeaseReport {
    LeaseReport { limit: limit.clone(), seq, used: 0, corrections: vec![], keep: 0, want: 0, need: 0 }
}

fn wants(limit: &LimitId, seq: i64, want: i64) -> LeaseReport {
    LeaseReport { want, need: 1, ..report(limit, seq) }
}

async fn exchange(db: &Db, replica: &ReplicaId, report: LeaseReport, ttl_ms: i64) -> LeaseGrant {
    db.store.exchange_leases(replica, &[report], ttl_ms).await.unwrap().remove(0)
}

async fn what_replicas_hold_together_is_within_the_limit(db: Db) {
    let limit = limit(&db, LimitKind::RequestsPerMinute, 100).await;
    let [a, b, c] = [ReplicaId::generate(), ReplicaId::generate(), ReplicaId::generate()];

    let first = exchange(&db, &a, wants(&limit, 1, 60), TTL_MS).await;
    let second = exchange(&db, &b, wants(&limit, 1, 60), TTL_MS).await;
    let third = exchange(&db, &c, wants(&limit, 1, 60), TTL_MS).await;

    assert_eq!([first.balance, second.balance, third.balance], [60, 20, 6]);
    let used = LeaseReport { used: 60, ..wants(&limit, 2, 60) };
    assert_eq!(exchange(&db, &a, used, TTL_MS).await.balance, 4);
}

async fn a_report_that_comes_twice_counts_once(db: Db) {
    let limit = limit(&db, LimitKind::TokensPerMinute, 100).await;
    let replica = ReplicaId::generate();
    let used = LeaseReport { used: 30, want: 100, ..report(&limit, 7) };

    exchange(&db, &replica, used.clone(), TTL_MS).await;
    let again = exchange(&db, &replica, used, TTL_MS).await;

    assert_eq!(again.balance, 70);
}

async fn a_lapsed_lease_counts_as_used(db: Db) {
    let limit = limit(&db, LimitKind::RequestsPerMinute, 100).await;
    exchange(&db, &ReplicaId::generate(), wants(&limit, 1, 30), LAPSED_MS).await;

    let other = exchange(&db, &ReplicaId::generate(), LeaseReport { need: 80, ..wants(&limit, 1, 80) }, TTL_MS).await;

    assert_eq!(other.balance, 70);
    let [(wait_ms, amount)] = other.frees[..] else { panic!("{other:?}") };
    assert!((59_000..=61_000).contains(&wait_ms) && amount == 30, "{other:?}");
}

async fn a_lapsed_lease_of_running_requests_is_free_again(db: Db) {
    let limit = limit(&db, LimitKind::ConcurrentRequests, 4).await;
    exchange(&db, &ReplicaId::generate(), wants(&limit, 1, 4), LAPSED_MS).await;

    assert_eq!(exchange(&db, &ReplicaId::generate(), wants(&limit, 1, 4), TTL_MS).await.balance, 4);
}

async fn a_replica_that_was_thought_dead_sets_its_account_right(db: Db) {
    let limit = limit(&db, LimitKind::UsdTotal, 1_000).await;
    let [slow, other] = [ReplicaId::generate(), ReplicaId::generate()];
    exchange(&db, &slow, wants(&limit, 1, 400), LAPSED_MS).await;
    assert_eq!(exchange(&db, &other, report(&limit, 1), TTL_MS).await.free, 600);

    let back = LeaseReport { used: 10, ..report(&limit, 2) };
    exchange(&db, &slow, back, TTL_MS).await;

    assert_eq!(exchange(&db, &other, report(&limit, 2), TTL_MS).await.free, 990);
}

async fn a_report_whose_answer_was_lost_counts_once_also_when_the_lease_lapsed_since(db: Db) {
    for kind in [LimitKind::UsdTotal, LimitKind::TokensPerMinute] {
        let limit = limit(&db, kind, 1_000).await;
        let [slow, other] = [ReplicaId::generate(), ReplicaId::generate()];
        exchange(&db, &slow, wants(&limit, 1, 400), TTL_MS).await;
        let unanswered = LeaseReport { used: 300, keep: 100, ..wants(&limit, 2, 200) };
        exchange(&db, &slow, unanswered.clone(), LAPSED_MS).await;
        assert_eq!(exchange(&db, &other, report(&limit, 1), TTL_MS).await.free, 400, "lost: 100 and 200");

        exchange(&db, &slow, LeaseReport { keep: 60, want: 0, need: 0, ..unanswered }, TTL_MS).await;

        assert_eq!(exchange(&db, &other, report(&limit, 2), TTL_MS).await.free, 1_000 - 300 - 60);
        let known = db.store.all_limits().await.unwrap().into_iter().find(|known| known.id == limit).unwrap();
        assert_eq!(db.store.limit_state(&known).await.unwrap(), LimitState { used: 300, lost: 0, leased: 60 });
    }
}

async fn a_correction_is_booked_where_the_use_was(db: Db) {
    let limit = limit(&db, LimitKind::TokensPerMinute, 100).await;
    let replica = ReplicaId::generate();
    let slot = exchange(&db, &replica, LeaseReport { used: 80, ..report(&limit, 1) }, TTL_MS).await.slot_ms;

    let corrected = LeaseReport { corrections: vec![(slot, -50), (slot - 120_000, -30)], ..report(&limit, 2) };
    let grant = exchange(&db, &replica, corrected, TTL_MS).await;

    assert_eq!(grant.free, 70, "what is out of the window can't be corrected");
}

async fn a_budget_says_when_it_begins_anew(db: Db) {
    let day = limit(&db, LimitKind::UsdPerDay, 10).await;
    let replica = ReplicaId::generate();

    let grant = exchange(&db, &replica, LeaseReport { used: 10, ..wants(&day, 1, 5) }, TTL_MS).await;

    assert_eq!(grant.balance, 0);
    let [(wait_ms, _)] = grant.frees[..] else { panic!("{grant:?}") };
    assert!((0..=86_400_000).contains(&wait_ms));
    assert_eq!(grant.reset_ms, wait_ms);
}

async fn a_limit_that_is_gone_has_no_grant(db: Db) {
    let reports = [wants(&LimitId::generate(), 1, 5)];

    assert!(db.store.exchange_leases(&ReplicaId::generate(), &reports, TTL_MS).await.unwrap().is_empty());
}

async fn replicas_that_ask_at_once_do_not_block_each_other(db: Db) {
    let mut limits = Vec::new();
    for _ in 0..5 {
        limits.push(limit(&db, LimitKind::RequestsPerMinute, 1_000).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for turn in 0..8 {
        let (store, mut limits) = (db.store.clone(), limits.clone());
        limits.rotate_left(turn % 5);
        tasks.spawn(async move {
            let replica = ReplicaId::generate();
            for seq in 1..=10 {
                let used = |limit| LeaseReport { used: 2, want: 2, need: 2, ..report(limit, seq) };
                let reports: Vec<_> = limits.iter().map(used).collect();
                store.exchange_leases(&replica, &reports, TTL_MS).await.unwrap();
            }
            store.drop_leases(&replica).await.unwrap();
        });
    }
    tasks.join_all().await;

    let left = exchange(&db, &ReplicaId::generate(), wants(&limits[0], 1, 1_000), TTL_MS).await;
    assert_eq!(left.balance, 1_000 - 8 * 10 * 2);
}
