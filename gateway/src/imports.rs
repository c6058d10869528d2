//! `POST /v1/files` with an address: a file that is fetched from a bucket of the client's.

use crate::{
    app::Gateway,
    upload::{self, form},
    uploads::{ExpiresAfter, file_ttl_secs},
};
use domain::{Result, TenantId};
use serde::Deserialize;
use store::{FileRow, Imports, NewFile};

/// The JSON body of `POST /v1/files`. Every field is optional here so that a missing one gets a refusal of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportFile {
    pub(crate) purpose: Option<String>,
    pub(crate) uri: Option<String>,
    pub(crate) expires_after: Option<ExpiresAfter>,
}

/// Copies an object into a file of the tenant.
///
/// # Errors
/// When the bucket is not listed for the tenant, the object can't be read, or it is no file of that purpose.
pub(crate) async fn import(gateway: &Gateway, tenant: &TenantId, wanted: ImportFile) -> Result<FileRow> {
    let purpose = upload::judge_purpose(wanted.purpose.ok_or_else(|| upload::missing("purpose"))?)?;
    let ttl_secs = file_ttl_secs(gateway, wanted.expires_after.as_ref(), &purpose)?;
    let uri = wanted.uri.ok_or_else(|| upload::missing("uri"))?;
    let uploads = &gateway.settings.uploads;
    let imports = Imports {
        allowed: &gateway.settings.imports,
        setting: "gateway.imports.buckets",
        max_bytes: uploads.max_bytes,
        max_lines: uploads.max_lines,
    };
    let new = imports.fetch(&gateway.blobs, tenant, purpose, &uri).await?;
    insert(gateway, new, ttl_secs).await
}

/// Records the file, or leaves nothing of it.
async fn insert(gateway: &Gateway, new: NewFile, ttl_secs: Option<i64>) -> Result<FileRow> {
    let blob = new.blob.clone();
    let inserted = async {
        let now_ms = gateway.store.now_ms().await?;
        let expires_at_ms = ttl_secs.map(|secs| now_ms.saturating_add(secs.saturating_mul(1_000)));
        gateway.store.insert_file(&NewFile { expires_at_ms, ..new }).await
    };
    let inserted = inserted.await;
    if inserted.is_err() {
        for blob in [format!("{blob}.index"), blob] {
            form::delete(&gateway.blobs, &blob).await;
        }
    }
    inserted
}
