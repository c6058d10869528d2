//! Tenants, limits and the record of their changes.

use crate::database::{Db, new_batch, on_both};
use domain::{KeyId, Kind, Limit, LimitId, LimitKind, RequestId, Scopes, SubjectKind, TenantId};
use serde_json::json;
use store::{AuditQuery, Author, NewKey, TenantPatch};

on_both!(
    a_tenant_is_changed_and_each_change_is_recorded,
    a_tenant_with_belongings_is_disabled_instead_of_deleted,
    a_refused_change_leaves_no_record,
    a_limit_binds_only_a_subject_of_its_tenant,
    a_limit_is_changed_and_each_change_is_recorded,
    pages_go_on_after_the_last_id,
    operators_see_the_batches_of_all_tenants,
);

fn author() -> Author {
    Author { actor: "key_admin".to_owned(), request_id: Some(RequestId::from_string("req_1")) }
}

fn limit(tenant: &TenantId, kind: LimitKind, amount: i64) -> Limit {
    Limit {
        id: LimitId::generate(),
        tenant: tenant.clone(),
        subject_kind: SubjectKind::Tenant,
        subject: tenant.to_string(),
        model: None,
        kind,
        amount,
    }
}

async fn actions(db: &Db) -> Vec<String> {
    let (rows, _) = db.store.list_audit(&AuditQuery::default(), None, 100).await.unwrap();
    rows.into_iter().map(|row| row.action).collect()
}

async fn a_tenant_is_changed_and_each_change_is_recorded(db: Db) {
    let tenant = db.store.add_tenant(&author(), "acme", "first").await.unwrap();

    let patch = TenantPatch { note: Some("second".to_owned()), is_disabled: Some(true), ..TenantPatch::default() };
    let patched = db.store.patch_tenant(&author(), &tenant.id, &patch).await.unwrap().unwrap();
    let again = db.store.patch_tenant(&author(), &tenant.id, &patch).await.unwrap().unwrap();
    let enabled = TenantPatch { is_disabled: Some(false), ..TenantPatch::default() };
    let enabled = db.store.patch_tenant(&author(), &tenant.id, &enabled).await.unwrap().unwrap();

    assert_eq!((patched.name.as_str(), patched.note.as_str()), ("acme", "second"));
    assert_eq!((again.disabled_at_ms, enabled.disabled_at_ms), (patched.disabled_at_ms, None));
    assert_eq!(db.store.tenant(&tenant.id).await.unwrap(), Some(enabled));
    let about = AuditQuery { target: Some(tenant.id.to_string()), ..AuditQuery::default() };
    let (changes, _) = db.store.list_audit(&about, None, 10).await.unwrap();
    assert_eq!(changes.len(), 4);
    let told = |note, disabled| {
        Some(json!({"name": "acme", "note": note, "disabled": disabled, "batch_weight": 100, "batch_shards": null}))
    };
    assert_eq!(changes[2].before, told("first", false));
    assert_eq!(changes[2].after, told("second", true));
    assert_eq!((changes[3].actor.as_str(), changes[3].before.as_ref()), ("key_admin", None));
    assert_eq!(changes[3].request_id, Some(RequestId::from_string("req_1")));
    let nobody = AuditQuery { actor: Some("nobody".to_owned()), ..AuditQuery::default() };
    assert!(db.store.list_audit(&nobody, None, 10).await.unwrap().0.is_empty());
}

async fn a_tenant_with_belongings_is_disabled_instead_of_deleted(db: Db) {
    let tenant = db.tenant().await;
    db.store.create_key(&tenant, &NewKey::named("k", Scopes::USER)).await.unwrap();
    let empty = db.store.add_tenant(&author(), "empty", "").await.unwrap();

    let refused = db.store.delete_tenant(&author(), &tenant).await.unwrap_err();

    assert_eq!((refused.kind(), refused.code()), (Kind::Conflict, Some("tenant_in_use")));
    assert_eq!(db.store.delete_tenant(&author(), &empty.id).await.unwrap(), Some(empty.clone()));
    assert_eq!(db.store.delete_tenant(&author(), &empty.id).await.unwrap(), None);
    assert_eq!(actions(&db).await, ["tenant.delete", "tenant.create"]);
}

async fn a_refused_change_leaves_no_record(db: Db) {
    let tenant = db.tenant().await;
    let other = db.store.create_tenant("other").await.unwrap().id;
    let name = TenantPatch { name: Some("acme".to_owned()), ..TenantPatch::default() };

    let taken = db.store.add_tenant(&author(), "acme", "").await.unwrap_err();
    let renamed = db.store.patch_tenant(&author(), &other, &name).await.unwrap_err();
    db.store.create_limit(&author(), &limit(&tenant, LimitKind::UsdTotal, 0)).await.unwrap_err();

    assert_eq!((taken.kind(), renamed.kind()), (Kind::Conflict, Kind::Conflict));
    assert!(actions(&db).await.is_empty());
}

async fn a_limit_binds_only_a_subject_of_its_tenant(db: Db) {
    let tenant = db.tenant().await;
    let stranger = db.store.create_tenant("stranger").await.unwrap().id;
    let (key, _) = db.store.create_key(&tenant, &NewKey::named("k", Scopes::USER)).await.unwrap();
    let of_key = |tenant: &TenantId, key: &KeyId| Limit {
        subject_kind: SubjectKind::Key,
        subject: key.to_string(),
        ..limit(tenant, LimitKind::RequestsPerMinute, 5)
    };

    assert!(db.store.create_limit(&author(), &of_key(&tenant, &key.id)).await.is_ok());
    let unknown = limit(&TenantId::generate(), LimitKind::UsdTotal, 1);
    let other = Limit { subject: stranger.to_string(), ..limit(&tenant, LimitKind::UsdTotal, 1) };
    for (wrong, param) in [(of_key(&stranger, &key.id), "subject"), (other, "subject"), (unknown, "tenant_id")] {
        let refused = db.store.create_limit(&author(), &wrong).await.unwrap_err();
        assert_eq!((refused.kind(), refused.param()), (Kind::NotFound, Some(param)));
    }
}

async fn a_limit_is_changed_and_each_change_is_recorded(db: Db) {
    let tenant = db.tenant().await;
    let new = Limit { model: Some("m".to_owned()), ..limit(&tenant, LimitKind::UsdPerDay, 1_500_000_000) };

    let made = db.store.create_limit(&author(), &new).await.unwrap();
    assert_eq!(made.limit, new);
    let twice = Limit { id: LimitId::generate(), ..new.clone() };
    assert_eq!(db.store.create_limit(&author(), &twice).await.unwrap_err().kind(), Kind::Conflict);
    assert!(db.store.patch_limit(&author(), &new.id, i64::MAX).await.is_err());
    let patched = db.store.patch_limit(&author(), &new.id, 3).await.unwrap().unwrap();
    assert_eq!((patched.limit.amount, patched.created_at_ms), (3, made.created_at_ms));
    assert_eq!(db.store.limit(&new.id).await.unwrap(), Some(patched));
    assert!(db.store.delete_limit(&author(), &new.id).await.unwrap().is_some());
    assert!(db.store.delete_limit(&author(), &new.id).await.unwrap().is_none());
    assert!(db.store.patch_limit(&author(), &new.id, 3).await.unwrap().is_none());

    assert_eq!(actions(&db).await, ["limit.delete", "limit.patch", "limit.create"]);
}

async fn pages_go_on_after_the_last_id(db: Db) {
    let tenant = db.tenant().await;
    for kind in LimitKind::ALL {
        db.store.create_limit(&author(), &limit(&tenant, kind, 1)).await.unwrap();
    }

    let (first, more) = db.store.list_limits(Some(&tenant), None, 4).await.unwrap();
    let (rest, end) = db.store.list_limits(None, Some(&first[3].limit.id), 4).await.unwrap();
    let (none, _) = db.store.list_limits(Some(&TenantId::generate()), None, 4).await.unwrap();

    assert_eq!((first.len(), more, rest.len(), end, none.len()), (4, true, 3, false, 0));
    let kinds: Vec<_> = first.iter().chain(&rest).map(|row| row.limit.kind).rev().collect();
    assert_eq!(kinds, LimitKind::ALL);
    assert_eq!(db.store.list_tenants(None, 10).await.unwrap().0.len(), 1);
    assert!(db.store.list_tenants(Some(&tenant), 10).await.unwrap().0.is_empty());
}

async fn operators_see_the_batches_of_all_tenants(db: Db) {
    let first = db.batch().await;
    let stranger = db.store.create_tenant("stranger").await.unwrap().id;
    let second = db.store.insert_batch(new_batch(&stranger)).await.unwrap();

    let (all, _) = db.store.list_every_batch(None, None, None, 10).await.unwrap();
    let (theirs, _) = db.store.list_every_batch(Some(&stranger), Some(second.status), None, 10).await.unwrap();
    let (ended, _) = db.store.list_every_batch(None, Some(domain::BatchStatus::Failed), None, 10).await.unwrap();
    let (older, _) = db.store.list_every_batch(None, None, Some(&second.id), 10).await.unwrap();

    assert_eq!(all.iter().map(|row| &row.id).collect::<Vec<_>>(), [&second.id, &first.id]);
    assert_eq!((theirs[0].id.clone(), theirs.len(), ended.len()), (second.id, 1, 0));
    assert_eq!(older[0].id, first.id);
}
