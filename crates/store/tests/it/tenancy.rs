//! Migrations, keys and files.

use crate::database::{Db, new_file, on_both};
use domain::{FileId, KeyId, Kind, ModelAccess, Scope, Scopes, TenantId};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, time::Duration};
use store::{KeyPatch, NewKey, Store};

on_both!(
    ten_concurrent_migrations_are_safe_and_only_one_takes_the_steps,
    a_secret_is_stored_as_its_hash_and_works_until_revoked,
    a_rotated_key_has_two_secrets_for_a_while,
    keys_that_ended_and_keys_of_disabled_tenants_do_not_work,
    a_patch_changes_what_it_names,
    pages_of_keys_are_newest_first_and_of_one_tenant,
    the_last_use_only_moves_forward,
    the_same_tenant_name_is_the_same_tenant,
    pages_of_one_cover_files_of_equal_age_exactly_once,
    a_file_is_seen_by_its_tenant_until_it_is_deleted_or_expires,
    a_dead_blob_is_kept_while_a_batch_reads_it,
);

#[tokio::test]
async fn a_postgres_that_accepts_no_writes_is_not_used() {
    crate::database::on_postgres(|db| async move {
        let name = db.url.rsplit_once('/').unwrap().1.to_owned();
        db.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
        let refused = tokio::time::timeout(Duration::from_secs(1), Store::open(&db.url)).await;

        let writable = format!("BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT");
        db.execute(&writable).await;

        assert!(refused.is_err(), "it waits for a primary");
        assert!(Store::open(&db.url).await.unwrap().create_tenant("acme").await.is_ok());
    })
    .await;
}

/// A database without a table.
async fn emptied(db: &Db) -> Db {
    let url = if db.url.starts_with("sqlite:") {
        format!("{}.empty", db.url)
    } else {
        db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
        db.url.clone()
    };
    Db { store: Store::open(&url).await.unwrap(), url }
}

async fn ten_concurrent_migrations_are_safe_and_only_one_takes_the_steps(db: Db) {
    let db = emptied(&db).await;
    assert!(db.store.migration_status().await.unwrap().iter().all(|migration| migration.applied_at.is_none()));

    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let url = db.url.clone();
        tasks.spawn(async move {
            let store = Store::open(&url).await.unwrap();
            let applied = store.migrate().await.unwrap().len();
            store.close().await;
            applied
        });
    }
    let applied = tasks.join_all().await;

    let status = db.store.migration_status().await.unwrap();
    assert_eq!(applied.iter().sum::<usize>(), status.len());
    assert!(status.iter().all(|migration| migration.applied_at.is_some()));
}

async fn a_secret_is_stored_as_its_hash_and_works_until_revoked(db: Db) {
    let tenant = db.tenant().await;

    let (key, secret) = db.store.create_key(&tenant, &NewKey::named("ci", Scopes::ADMIN)).await.unwrap();

    assert!(secret.starts_with("tdm_live_"));
    let active = db.store.active_keys().await.unwrap();
    assert_eq!(active.len(), 1);
    assert_eq!((&active[0].id, active[0].scopes), (&key.id, Scopes::ADMIN));
    assert_eq!(active[0].secret_sha256[..], Sha256::digest(&secret)[..]);
    assert!(db.store.revoke_key(&key.id).await.unwrap());
    assert!(!db.store.revoke_key(&key.id).await.unwrap());
    assert!(db.store.active_keys().await.unwrap().is_empty());
    assert!(db.store.key(&key.id).await.unwrap().unwrap().revoked_at_ms.is_some());
    assert!(db.store.rotate_key(&key.id, "live", Duration::ZERO).await.unwrap().is_none());
}

async fn a_rotated_key_has_two_secrets_for_a_while(db: Db) {
    let (key, first) = db.store.create_key(&db.tenant().await, &NewKey::named("ci", Scopes::USER)).await.unwrap();

    let (_, second) = db.store.rotate_key(&key.id, "live", Duration::from_secs(3_600)).await.unwrap().unwrap();

    assert_eq!(working(&db).await, BTreeSet::from([digest(&first), digest(&second)]));
    let (_, third) = db.store.rotate_key(&key.id, "live", Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(working(&db).await, BTreeSet::from([digest(&third)]), "without an overlap only the new one works");
}

async fn keys_that_ended_and_keys_of_disabled_tenants_do_not_work(db: Db) {
    let tenant = db.tenant().await;
    let ended = NewKey { expires_at_ms: Some(1), ..NewKey::named("old", Scopes::USER) };
    db.store.create_key(&tenant, &ended).await.unwrap();
    let (key, _) = db.store.create_key(&tenant, &NewKey::named("ci", Scopes::USER)).await.unwrap();

    assert_eq!(db.store.active_keys().await.unwrap().len(), 1);
    db.execute("UPDATE tenants SET disabled_at_ms = 7").await;

    assert!(db.store.active_keys().await.unwrap().is_empty());
    assert!(db.store.active_tenants().await.unwrap().is_empty());
    assert_eq!(db.store.key(&key.id).await.unwrap().unwrap().revoked_at_ms, None);
}

async fn a_patch_changes_what_it_names(db: Db) {
    let only = ModelAccess::Only(BTreeSet::from(["m".to_owned()]));
    let new = NewKey { models: only.clone(), expires_at_ms: Some(i64::MAX), ..NewKey::named("ci", Scopes::USER) };
    let (key, _) = db.store.create_key(&db.tenant().await, &new).await.unwrap();
    let narrower = Scopes::default().with(Scope::Files);

    let patch = KeyPatch { scopes: Some(narrower), note: Some("n".to_owned()), ..KeyPatch::default() };
    let first = db.store.patch_key(&key.id, &patch).await.unwrap().unwrap();
    let patch = KeyPatch { models: Some(ModelAccess::All), expires_at_ms: Some(None), ..KeyPatch::default() };
    let second = db.store.patch_key(&key.id, &patch).await.unwrap().unwrap();

    assert_eq!((first.scopes, first.note.as_str(), &first.models), (narrower, "n", &only));
    assert_eq!((first.name.as_str(), first.expires_at_ms), ("ci", Some(i64::MAX)));
    assert_eq!((second.models, second.expires_at_ms, second.scopes), (ModelAccess::All, None, narrower));
    assert!(db.store.patch_key(&KeyId::generate(), &KeyPatch::default()).await.unwrap().is_none());
}

async fn pages_of_keys_are_newest_first_and_of_one_tenant(db: Db) {
    let tenant = db.tenant().await;
    let other = db.store.create_tenant("other").await.unwrap().id;
    let mut ids = Vec::new();
    for owner in [&tenant, &other, &tenant, &tenant] {
        ids.push(db.store.create_key(owner, &NewKey::named("k", Scopes::USER)).await.unwrap().0.id);
    }

    let (first, more) = db.store.list_keys(Some(&tenant), None, 2).await.unwrap();
    let (last, end) = db.store.list_keys(Some(&tenant), Some(&first[1].id), 2).await.unwrap();

    let seen: Vec<_> = first.iter().chain(&last).map(|key| &key.id).collect();
    assert_eq!(seen, [&ids[3], &ids[2], &ids[0]]);
    assert!(more && !end);
    assert_eq!(db.store.list_keys(None, None, 10).await.unwrap().0.len(), 4);
}

async fn the_last_use_only_moves_forward(db: Db) {
    let (key, _) = db.store.create_key(&db.tenant().await, &NewKey::named("ci", Scopes::USER)).await.unwrap();

    for at_ms in [5, 9, 7] {
        db.store.note_key_uses(&[(key.id.clone(), at_ms), (KeyId::generate(), 3)]).await.unwrap();
    }

    assert_eq!(db.store.key(&key.id).await.unwrap().unwrap().last_used_at_ms, Some(9));
}

async fn working(db: &Db) -> BTreeSet<Vec<u8>> {
    db.store.active_keys().await.unwrap().into_iter().map(|key| key.secret_sha256.to_vec()).collect()
}

fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

async fn the_same_tenant_name_is_the_same_tenant(db: Db) {
    let first = db.store.ensure_tenant("acme").await.unwrap();

    assert_eq!(db.store.ensure_tenant("acme").await.unwrap(), first);
    assert_eq!(db.store.create_tenant("acme").await.unwrap_err().kind(), Kind::Conflict);
}

async fn pages_of_one_cover_files_of_equal_age_exactly_once(db: Db) {
    let tenant = db.tenant().await;
    for purpose in ["batch", "batch", "batch", "batch_output"] {
        db.store.insert_file(&new_file(&tenant, purpose)).await.unwrap();
    }
    db.execute("UPDATE files SET created_at_ms = 7").await;

    for desc in [false, true] {
        let (mut seen, mut after, mut more) = (Vec::new(), None, true);
        while more {
            let page;
            (page, more) = db.store.list_files(&tenant, Some("batch"), after.as_ref(), 1, desc).await.unwrap();
            assert_eq!(page.len(), 1);
            after = Some(page[0].id.clone());
            seen.push(page[0].id.clone());
        }

        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 3);
        assert_eq!(seen.len(), 3);
        assert_eq!(seen.is_sorted(), !desc);
    }
    let unknown = db.store.list_files(&tenant, None, Some(&FileId::generate()), 1, true).await.unwrap_err();
    assert_eq!((unknown.kind(), unknown.param()), (Kind::InvalidRequest, Some("after")));
    assert_eq!(db.store.list_files(&tenant, None, None, 10, true).await.unwrap().0.len(), 4);
}

async fn a_file_is_seen_by_its_tenant_until_it_is_deleted_or_expires(db: Db) {
    let tenant = db.tenant().await;
    let kept = db.store.insert_file(&new_file(&tenant, "batch")).await.unwrap();
    let old =
        db.store.insert_file(&store::NewFile { expires_at_ms: Some(1), ..new_file(&tenant, "batch") }).await.unwrap();

    assert_eq!(db.store.file(&tenant, &kept.id).await.unwrap(), Some(kept.clone()));
    assert_eq!(db.store.file(&TenantId::generate(), &kept.id).await.unwrap(), None);
    assert_eq!(db.store.file(&tenant, &old.id).await.unwrap(), None);
    assert!(!db.store.delete_file(&TenantId::generate(), &kept.id).await.unwrap());
    assert!(db.store.delete_file(&tenant, &kept.id).await.unwrap());
    assert!(!db.store.delete_file(&tenant, &kept.id).await.unwrap());
    assert_eq!(db.store.file(&tenant, &kept.id).await.unwrap(), None);
    assert!(db.store.list_files(&tenant, None, None, 10, true).await.unwrap().0.is_empty());
    assert!(db.store.input_file(&kept.id).await.unwrap().is_some());
}

async fn a_dead_blob_is_kept_while_a_batch_reads_it(db: Db) {
    let tenant = db.tenant().await;
    let file = db.store.insert_file(&new_file(&tenant, "batch")).await.unwrap();
    let batch = db.batch().await;
    db.execute(&format!("UPDATE batches SET input_file_id = '{}'", file.id)).await;
    db.store.delete_file(&tenant, &file.id).await.unwrap();

    assert!(db.store.unreferenced_blobs(10).await.unwrap().is_empty());

    db.execute(&format!("UPDATE batches SET status = 'completed' WHERE id = '{}'", batch.id)).await;
    assert_eq!(db.store.unreferenced_blobs(10).await.unwrap()[0].blob, file.blob);
    assert!(db.store.mark_purged(&file.id).await.unwrap());
    assert!(db.store.unreferenced_blobs(10).await.unwrap().is_empty());
}
