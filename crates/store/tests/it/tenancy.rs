//! Migrations, keys and files.

use crate::database::{Db, new_file, on_both};
use domain::{FileId, Kind, Scopes, TenantId};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, time::Duration};
use store::{NewKey, Store};

on_both!(
    ten_concurrent_migrations_are_safe_and_only_one_takes_the_steps,
    a_secret_is_stored_as_its_hash_and_works_until_revoked,
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

async fn ten_concurrent_migrations_are_safe_and_only_one_takes_the_steps(db: Db) {
    for table in [
        "limit_uses",
        "limit_leases",
        "limits",
        "usage_outbox",
        "usage_records",
        "audit_records",
        "idempotency_records",
        "segments",
        "shards",
        "batches",
        "files",
        "keys",
        "tenants",
        "bells",
        "migrations",
    ] {
        db.execute(&format!("DROP TABLE {table}")).await;
    }
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
    assert!(db.store.list_keys().await.unwrap()[0].revoked_at_ms.is_some());
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
