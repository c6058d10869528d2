//! The ledger and its outbox.

use crate::database::{Db, LEASE_MS, on_both, segment};
use domain::{
    Class, KeyId, Limit, LimitId, LimitKind, Money, RequestId, RequestOutcome, SubjectKind, TenantId, Usage, UsageId,
    UsageRecord,
};
use store::{Author, NewSegment, OutboxState, UsageGroup, UsageQuery, UsageRow};

const DAY_MS: i64 = 86_400_000;
const ALWAYS: UsageQuery =
    UsageQuery { tenant: None, from_ms: 0, to_ms: i64::MAX, model: None, key: None, group_by: Vec::new() };

on_both!(
    a_segment_brings_its_lines_into_the_ledger_and_onto_the_budget_once,
    a_record_sent_twice_counts_once,
    a_report_is_divided_as_asked_and_filtered_as_asked,
    an_unknown_price_is_counted_and_never_zero,
    a_report_of_nothing_is_one_row_of_zeros,
    names_of_callers_do_not_keep_other_records_out,
    a_record_is_published_by_one_at_a_time_until_it_is_acknowledged,
    the_outbox_says_how_much_waits_and_since_when,
    records_beyond_their_age_are_deleted_in_steps,
);

fn record(model: &str, at_ms: i64) -> UsageRecord {
    UsageRecord {
        id: UsageId::generate(),
        at_ms,
        tenant: TenantId::from_string("tenant_a"),
        key: Some(KeyId::from_string("key_a")),
        principal: None,
        batch: None,
        request: RequestId::generate(),
        trace_id: None,
        class: Class::Interactive,
        dialect: "chat",
        model: model.into(),
        deployment: Some("vllm-a".into()),
        status: 200,
        outcome: RequestOutcome::Complete,
        usage: Usage { input: 100, output: 10, cached: 40, cache_write: 20, reasoning: 5 },
        is_estimated: false,
        is_cached: false,
        cost: Some(Money::from_nanos(7)),
        latency_ms: 12,
        ttft_ms: Some(3),
    }
}

fn by(groups: &[UsageGroup]) -> UsageQuery {
    UsageQuery { group_by: groups.to_vec(), ..ALWAYS }
}

async fn total(db: &Db, query: &UsageQuery) -> UsageRow {
    let rows = db.store.usage(query).await.unwrap();
    assert_eq!(rows.len(), 1);
    rows.into_iter().next().unwrap()
}

async fn a_record_sent_twice_counts_once(db: Db) {
    let records: Vec<_> = (0..1_201).map(|at| record("m", at)).collect();

    let first = db.store.insert_usage(&records[..700]).await.unwrap();
    let second = db.store.insert_usage(&records).await.unwrap();

    assert_eq!((first, second), (700, 501));
    let total = total(&db, &ALWAYS).await;
    assert_eq!((total.requests, total.cost), (1_201, Money::from_nanos(7 * 1_201)));
    let tokens = Usage { input: 100, output: 10, cached: 40, cache_write: 20, reasoning: 5 };
    assert_eq!(total.usage.input, tokens.input * 1_201);
    assert_eq!(total.usage.cache_write, tokens.cache_write * 1_201);
}

async fn a_report_is_divided_as_asked_and_filtered_as_asked(db: Db) {
    let token = UsageRecord { key: None, principal: Some("iam:bob".to_owned()), ..record("n", DAY_MS) };
    let theirs = UsageRecord { tenant: TenantId::from_string("tenant_b"), class: Class::Batch, ..record("m", 5) };
    let cut = UsageRecord { outcome: RequestOutcome::Broken, is_estimated: true, ..record("m", DAY_MS - 1) };
    db.store.insert_usage(&[record("m", 0), token, theirs, cut]).await.unwrap();

    let rows = db.store.usage(&by(&[UsageGroup::Model, UsageGroup::Day])).await.unwrap();
    let divided: Vec<_> = rows.iter().map(|row| (row.day_ms, row.model.as_deref(), row.requests)).collect();
    assert_eq!(divided, [(Some(0), Some("m"), 3), (Some(DAY_MS), Some("n"), 1)]);
    assert_eq!((rows[0].failed_requests, rows[0].estimated_requests), (1, 1));

    let ours = UsageQuery { tenant: Some(TenantId::from_string("tenant_a")), ..by(&UsageGroup::ALL) };
    let rows = db.store.usage(&ours).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[1].key, rows[1].principal.as_deref()), (&None, Some("iam:bob")));
    assert_eq!(rows[0].class.as_deref(), Some("interactive"));

    let some = UsageQuery {
        model: Some("m".to_owned()),
        key: Some(KeyId::from_string("key_a")),
        from_ms: 5,
        to_ms: DAY_MS - 1,
        ..ALWAYS
    };
    assert_eq!(total(&db, &some).await.requests, 1);
}

async fn an_unknown_price_is_counted_and_never_zero(db: Db) {
    let unpriced = UsageRecord { cost: None, ..record("m", 0) };
    db.store.insert_usage(&[record("m", 0), unpriced]).await.unwrap();

    let total = total(&db, &ALWAYS).await;

    assert_eq!((total.requests, total.unpriced_requests, total.cost), (2, 1, Money::from_nanos(7)));
}

async fn a_report_of_nothing_is_one_row_of_zeros(db: Db) {
    assert_eq!(db.store.insert_usage(&[]).await.unwrap(), 0);

    assert_eq!(total(&db, &ALWAYS).await, UsageRow::default());
    assert!(db.store.usage(&by(&[UsageGroup::Model])).await.unwrap().is_empty());
}

async fn names_of_callers_do_not_keep_other_records_out(db: Db) {
    let odd = record(&format!("a\0'\"\\{}", "é".repeat(1_000)), 0);
    let boast = UsageRecord { usage: Usage { input: u64::MAX, ..Usage::default() }, ..record("m", 0) };

    let added = db.store.insert_usage(&[odd, boast.clone(), boast, record("m", 0)]).await;

    assert_eq!(added.unwrap(), 3, "one of them came twice");
    let rows = db.store.usage(&by(&[UsageGroup::Model])).await.unwrap();
    assert_eq!(rows[0].model.as_ref().unwrap().chars().count(), 256);
    assert!(rows[0].model.as_ref().unwrap().starts_with("a\u{fffd}'\"\\é"));
}

async fn a_record_is_published_by_one_at_a_time_until_it_is_acknowledged(db: Db) {
    let records = [record("m", 1), record("m", 2), record("m", 3)];
    db.store.insert_usage(&records[..1]).await.unwrap();
    db.store.clone().publishing_usage(true).insert_usage(&records).await.unwrap();

    let first = db.store.claim_outbox(1, 60_000).await.unwrap();
    let second = db.store.claim_outbox(10, -1).await.unwrap();

    assert_eq!(first[0].id, records[1].id.as_str(), "what was written before is not published again");
    assert_eq!((first[0].dialect.as_str(), first[0].cost_nanos, first[0].is_cached), ("chat", Some(7), false));
    assert_eq!(second.len(), 1);
    assert_eq!(db.store.claim_outbox(10, -1).await.unwrap(), second, "its time was over");
    db.store.ack_outbox(&[second[0].id.as_str(), first[0].id.as_str()]).await.unwrap();
    assert!(db.store.claim_outbox(10, -1).await.unwrap().is_empty());
}

async fn the_outbox_says_how_much_waits_and_since_when(db: Db) {
    let now_ms = db.store.now_ms().await.unwrap();
    let slow = UsageRecord { latency_ms: 40_000, ..record("m", now_ms - 100_000) };
    let records = [slow, record("m", now_ms - 10_000)];
    let empty = db.store.outbox_state().await.unwrap();
    db.store.clone().publishing_usage(true).insert_usage(&records).await.unwrap();

    db.store.claim_outbox(1, 60_000).await.unwrap();
    let state = db.store.outbox_state().await.unwrap();

    assert_eq!((empty, state.waiting), (OutboxState::default(), 2));
    assert!((60_000..70_000).contains(&state.oldest_ms), "{state:?}");
}

async fn records_beyond_their_age_are_deleted_in_steps(db: Db) {
    let records: Vec<_> = (0..5).map(|at| record("m", at)).collect();
    db.store.clone().publishing_usage(true).insert_usage(&records).await.unwrap();

    assert_eq!(db.store.delete_usage_before(4, 3).await.unwrap(), 3);
    assert_eq!(db.store.delete_usage_before(4, 3).await.unwrap(), 1);
    assert_eq!(db.store.delete_usage_before(4, 3).await.unwrap(), 0);

    assert_eq!(total(&db, &ALWAYS).await.requests, 1);
    assert_eq!(db.store.claim_outbox(10, 0).await.unwrap().len(), 1);
    assert_eq!(db.store.usage(&by(&[UsageGroup::Key])).await.unwrap().len(), 1);
}

async fn a_segment_brings_its_lines_into_the_ledger_and_onto_the_budget_once(db: Db) {
    let (batch, shards) = db.running(&[1]).await;
    let lease = db.claim(&shards[0], LEASE_MS).await;
    let tenant = lease.batch.tenant.clone();
    let author = Author::cli();
    let (id, subject) = (LimitId::generate(), tenant.to_string());
    let (subject_kind, kind) = (SubjectKind::Tenant, LimitKind::UsdTotal);
    let limit = Limit { id, tenant: tenant.clone(), subject_kind, subject, model: None, kind, amount: 100 };
    db.store.create_limit(&author, &limit).await.unwrap();
    let line = UsageRecord { tenant: tenant.clone(), batch: Some(batch), ..record("m", 0) };
    let segment = NewSegment { ledger: vec![line], ..segment(1, 0, &[0]) };

    db.store.commit_segment(&lease, &segment).await.unwrap();
    db.store.commit_segment(&lease, &segment).await.unwrap();

    let of_tenant = UsageQuery { tenant: Some(tenant), ..ALWAYS };
    assert_eq!(total(&db, &of_tenant).await.requests, 1);
    assert_eq!(db.store.limit_state(&limit).await.unwrap().used, 7);
}
