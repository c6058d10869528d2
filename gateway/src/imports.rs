//! Files that are fetched from a bucket of the client's, with the platform's own credentials: from listed buckets only.

mod settings;

pub use settings::{ImportBucket, ImportsSettings};

use crate::{
    app::Gateway,
    upload::{self, form},
    uploads::{ExpiresAfter, file_ttl_secs},
};
use domain::{Error, FileId, Kind, Result, TenantId};
use serde::Deserialize;
use store::{FileIndex, FileRow, IngestLimits, NewFile, Outside};

const SCHEME: &str = "gs://";
/// Google's limit for names of objects, in bytes.
const NAME_BYTES: usize = 1_024;

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
    let (bucket, name) = parse(&uri)?;
    require_listed(&gateway.settings.imports, tenant, bucket)?;
    let filename = form::to_filename(name);
    form::judge_name(&purpose, &filename, "uri")?;
    let object = gateway.blobs.outside(bucket, name).await?;
    form::judge_size(gateway.settings.uploads.max_bytes, object.bytes(), "uri")?;

    let id = FileId::generate();
    let blob = format!("files/{id}");
    let (crc32c, index) = fetch(gateway, &object, &blob, &purpose).await?;
    tracing::info!(file.id = %id, uri, generation = object.generation(), "imported {uri} as {id}");
    let new = NewFile {
        id,
        tenant: tenant.clone(),
        purpose,
        filename,
        bytes: i64::try_from(object.bytes()).map_err(Error::internal)?,
        blob,
        crc32c: Some(crc32c),
        index: index.as_ref().map(serde_json::to_string).transpose().map_err(Error::internal)?,
        expires_at_ms: None,
    };
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

fn require_listed(settings: &ImportsSettings, tenant: &TenantId, bucket: &str) -> Result<()> {
    if settings.allows(bucket, tenant) {
        return Ok(());
    }
    let text = format!(
        "Files can't be imported from the bucket '{bucket}'. Ask the operator to list it in `gateway.imports.buckets`."
    );
    Err(Error::new(Kind::PermissionDenied, text).with_code("bucket_not_allowed").with_param("uri"))
}

async fn fetch(gateway: &Gateway, object: &Outside, blob: &str, purpose: &str) -> Result<(u32, Option<FileIndex>)> {
    if purpose != "batch" {
        return object.copy(&gateway.blobs, blob).await.map(|info| (info.crc32c, None));
    }
    let limits = IngestLimits { max_lines: gateway.settings.uploads.max_lines, ..IngestLimits::default() };
    let index = object.ingest(&gateway.blobs, blob, limits).await?;
    Ok((index.crc32c, Some(index)))
}

/// The bucket and the name in `gs://bucket/name`.
fn parse(uri: &str) -> Result<(&str, &str)> {
    let place = uri.strip_prefix(SCHEME).and_then(|place| place.split_once('/'));
    let is_bucket = |bucket: &str| {
        (3..=222).contains(&bucket.len())
            && bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte))
    };
    place.filter(|(bucket, name)| is_bucket(bucket) && (1..=NAME_BYTES).contains(&name.len())).ok_or_else(|| {
        let shown: String = uri.chars().take(100).collect();
        Error::invalid(format!("Invalid value: '{shown}'. It must be gs://bucket/object."))
            .with_param("uri")
            .with_code("invalid_value")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_bucket_and_a_name() {
        assert_eq!(parse("gs://my-bucket/a/b.jsonl").unwrap(), ("my-bucket", "a/b.jsonl"));
        for uri in ["gs://my-bucket", "gs://my-bucket/", "gs:///a", "s3://my-bucket/a", "gs://UP/a", "/a", ""] {
            assert_eq!(parse(uri).unwrap_err().param(), Some("uri"), "{uri}");
        }
    }
}
