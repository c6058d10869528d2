//! Objects in buckets of clients that become files, read with the platform's own credentials: from listed buckets only.

mod settings;

pub use settings::{ImportBucket, ImportsSettings};

use crate::{Blobs, FileIndex, IngestLimits, NewFile, Outside, file_rules};
use domain::{Error, FileId, Kind, Result, TenantId};

const SCHEME: &str = "gs://";
/// Google's limit for names of objects, in bytes.
const NAME_BYTES: usize = 1_024;

/// From where objects may be fetched, and how large they may be.
#[derive(Debug, Clone, Copy)]
pub struct Imports<'a> {
    /// The buckets.
    pub allowed: &'a ImportsSettings,
    /// The setting that lists them, for those who ask why not.
    pub setting: &'static str,
    /// The largest object.
    pub max_bytes: u64,
    /// The most lines of a batch input.
    pub max_lines: u64,
}

impl Imports<'_> {
    /// Copies an object into the blob of a file of the tenant, which is to be recorded then. Kept for ever.
    ///
    /// # Errors
    /// When the bucket is not listed for the tenant, the object can't be read, or it is no file of that purpose. No blob is left then.
    pub async fn fetch(&self, blobs: &Blobs, tenant: &TenantId, purpose: String, uri: &str) -> Result<NewFile> {
        let (bucket, name) = parse(uri)?;
        self.require_listed(tenant, bucket)?;
        let filename = file_rules::to_filename(name);
        file_rules::judge_name(&purpose, &filename, "uri")?;
        let object = blobs.outside(bucket, name).await?;
        file_rules::judge_size(self.max_bytes, object.bytes(), "uri")?;

        let id = FileId::generate();
        let blob = format!("files/{id}");
        let (crc32c, index) = self.copy(&object, blobs, &blob, &purpose).await?;
        tracing::info!(file.id = %id, uri, generation = object.generation(), "imported {uri} as {id}");
        Ok(NewFile {
            id,
            tenant: tenant.clone(),
            purpose,
            filename,
            bytes: i64::try_from(object.bytes()).map_err(Error::internal)?,
            blob,
            crc32c: Some(crc32c),
            index: index.as_ref().map(serde_json::to_string).transpose().map_err(Error::internal)?,
            expires_at_ms: None,
        })
    }

    fn require_listed(&self, tenant: &TenantId, bucket: &str) -> Result<()> {
        if self.allowed.allows(bucket, tenant) {
            return Ok(());
        }
        let text = format!(
            "Files can't be imported from the bucket '{bucket}'. Ask the operator to list it in `{}`.",
            self.setting
        );
        Err(Error::new(Kind::PermissionDenied, text).with_code("bucket_not_allowed").with_param("uri"))
    }

    async fn copy(
        &self,
        object: &Outside,
        blobs: &Blobs,
        blob: &str,
        purpose: &str,
    ) -> Result<(u32, Option<FileIndex>)> {
        if purpose != "batch" {
            return object.copy(blobs, blob).await.map(|info| (info.crc32c, None));
        }
        let limits = IngestLimits { max_lines: self.max_lines, ..IngestLimits::default() };
        let index = object.ingest(blobs, blob, limits).await?;
        Ok((index.crc32c, Some(index)))
    }
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
