//! Uploads: parts while they are open, one file at the end.

use crate::database::{Db, new_file, on_both};
use domain::{PartId, TenantId, UploadId};
use store::{BlobInfo, Completion, NewPart, NewUpload, PartBounds, UploadStatus};

on_both!(
    an_upload_becomes_one_file,
    a_cancel_wins_over_whoever_completes,
    a_completion_that_lapsed_is_taken_over,
    what_a_tenant_may_have_open_is_bounded,
    an_expired_upload_takes_nothing_and_is_cleared,
);

const ROOM: PartBounds = PartBounds { parts: 2, bytes: 10 };

fn new(tenant: &TenantId, ttl_ms: i64) -> NewUpload {
    NewUpload {
        id: UploadId::generate(),
        tenant: tenant.clone(),
        bytes: 4,
        filename: "a".to_owned(),
        purpose: "evals".to_owned(),
        mime_type: "text/plain".to_owned(),
        file_ttl_secs: None,
        ttl_ms,
    }
}

fn part(upload: &NewUpload, bytes: u64) -> NewPart {
    let info = BlobInfo { bytes, crc32c: u32::MAX };
    NewPart { id: PartId::generate(), upload: upload.id.clone(), info, lines: None }
}

fn by(owner: &str, upload: &NewUpload) -> Completion {
    Completion { upload: upload.id.clone(), owner: owner.to_owned(), request_sha256: "same".to_owned() }
}

async fn an_upload_becomes_one_file(db: Db) {
    let store = &db.store;
    let tenant = store.create_tenant("acme").await.unwrap().id;
    let upload = new(&tenant, 60_000);
    assert_eq!(store.insert_upload(&upload, 1).await.unwrap().unwrap().status, UploadStatus::Pending);

    let taken = store.insert_part(&part(&upload, 4), ROOM).await.unwrap().unwrap();
    assert!(store.insert_part(&part(&upload, 7), ROOM).await.unwrap().is_none(), "too many bytes");
    assert!(store.begin_completion(&by("one", &upload), 60_000).await.unwrap());
    assert!(!store.begin_completion(&by("two", &upload), 60_000).await.unwrap());
    assert!(store.insert_part(&part(&upload, 1), ROOM).await.unwrap().is_none(), "it is being completed");
    assert!(store.finish_upload(&by("two", &upload), &new_file(&tenant, "evals")).await.unwrap().is_none());
    let file = store.finish_upload(&by("one", &upload), &new_file(&tenant, "evals")).await.unwrap().unwrap();

    let row = store.upload(&tenant, &upload.id).await.unwrap().unwrap();
    assert_eq!((row.status, row.file), (UploadStatus::Completed, Some(file.id)));
    assert_eq!(store.upload_parts(&upload.id).await.unwrap(), [taken]);
    let stranger = store.create_tenant("stranger").await.unwrap().id;
    assert_eq!(store.upload(&stranger, &upload.id).await.unwrap(), None);
}

async fn a_cancel_wins_over_whoever_completes(db: Db) {
    let store = &db.store;
    let tenant = store.create_tenant("acme").await.unwrap().id;
    let upload = new(&tenant, 60_000);
    store.insert_upload(&upload, 1).await.unwrap();
    assert!(store.begin_completion(&by("one", &upload), 60_000).await.unwrap());

    assert!(store.cancel_upload(&tenant, &upload.id).await.unwrap());

    assert!(!store.renew_completion(&by("one", &upload), 60_000).await.unwrap());
    assert!(store.finish_upload(&by("one", &upload), &new_file(&tenant, "evals")).await.unwrap().is_none());
    assert!(!store.cancel_upload(&tenant, &upload.id).await.unwrap(), "it is already");
}

async fn a_completion_that_lapsed_is_taken_over(db: Db) {
    let store = &db.store;
    let tenant = store.create_tenant("acme").await.unwrap().id;
    let upload = new(&tenant, 60_000);
    store.insert_upload(&upload, 1).await.unwrap();

    assert!(store.begin_completion(&by("one", &upload), 0).await.unwrap());
    assert!(store.begin_completion(&by("two", &upload), 60_000).await.unwrap());
    assert!(!store.release_completion(&by("one", &upload)).await.unwrap());
    assert!(store.release_completion(&by("two", &upload)).await.unwrap());

    assert!(store.insert_part(&part(&upload, 1), ROOM).await.unwrap().is_some(), "it takes parts again");
}

async fn what_a_tenant_may_have_open_is_bounded(db: Db) {
    let store = &db.store;
    let tenant = store.create_tenant("acme").await.unwrap().id;
    let first = new(&tenant, 60_000);

    assert!(store.insert_upload(&first, 1).await.unwrap().is_some());
    assert!(store.insert_upload(&new(&tenant, 60_000), 1).await.unwrap().is_none());
    assert!(store.cancel_upload(&tenant, &first.id).await.unwrap());

    assert!(store.insert_upload(&new(&tenant, 60_000), 1).await.unwrap().is_some());
}

async fn an_expired_upload_takes_nothing_and_is_cleared(db: Db) {
    let store = &db.store;
    let tenant = store.create_tenant("acme").await.unwrap().id;
    let upload = new(&tenant, 0);

    let row = store.insert_upload(&upload, 1).await.unwrap().unwrap();
    assert_eq!(row.status, UploadStatus::Expired);
    assert!(store.insert_part(&part(&upload, 1), ROOM).await.unwrap().is_none());
    assert!(!store.begin_completion(&by("one", &upload), 60_000).await.unwrap());
    assert!(store.expire_uploads().await.unwrap());

    assert_eq!(store.uncleared_uploads(0, 10).await.unwrap(), std::slice::from_ref(&upload.id));
    store.mark_upload_cleared(&upload.id).await.unwrap();
    assert_eq!(store.uncleared_uploads(0, 10).await.unwrap(), []);
}
