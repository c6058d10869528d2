//! An object in a bucket that is not ours, read with our own credentials.

use crate::{BlobInfo, Blobs, FileIndex, Ingest, IngestLimits, gcs::Bucket, ranges};
use bytes::Bytes;
use domain::{Error, Kind, Result};
use futures::{StreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use std::sync::Arc;

/// One generation of an object: what is read is what was there when it was opened, or an error.
#[derive(Debug)]
pub struct Outside {
    objects: Arc<dyn ObjectStore>,
    uri: String,
    path: Path,
    bytes: u64,
    generation: String,
}

impl Blobs {
    /// Finds `gs://bucket/object`, whoever's it is. Whether it may be read for a client is for the caller to say.
    ///
    /// # Errors
    /// `NotFound` when there is none; `InvalidRequest` when the bucket lets us not read it.
    pub async fn outside(&self, bucket: &str, object: &str) -> Result<Outside> {
        let uri = format!("gs://{bucket}/{object}");
        let (_, objects) = Bucket::open(&format!("gs://{bucket}"), self.endpoint())?;
        let path = Path::parse(object)
            .map_err(|error| Error::invalid(format!("{uri} is not the name of an object.")).with_source(error))?;
        let meta = objects.head(&path).await.map_err(|error| unreadable(&uri, error))?;
        let generation = meta.version.ok_or_else(|| Error::internal(format!("{uri} has no generation")))?;
        Ok(Outside { objects: Arc::new(objects), uri, path, bytes: meta.size, generation })
    }
}

impl Outside {
    /// How long it is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its generation.
    #[must_use]
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// Copies it to `path` as a batch input, with the index beside it.
    ///
    /// # Errors
    /// When it changes meanwhile or can't be read, or the copy can't be stored. No copy is left then.
    pub async fn ingest(&self, blobs: &Blobs, path: &str, limits: IngestLimits) -> Result<FileIndex> {
        let mut ingest = Ingest::new(blobs, path, limits);
        let mut bytes = self.stream();
        while let Some(chunk) = bytes.next().await {
            if let Err(error) = async { ingest.feed(chunk?).await }.await {
                ingest.abort().await;
                return Err(self.explain(error));
            }
        }
        ingest.finish().await
    }

    /// Copies it to `path` as it is.
    ///
    /// # Errors
    /// When it changes meanwhile or can't be read, or the copy can't be stored. No copy is left then.
    pub async fn copy(&self, blobs: &Blobs, path: &str) -> Result<BlobInfo> {
        let mut writer = blobs.writer(path);
        let mut bytes = self.stream();
        while let Some(chunk) = bytes.next().await {
            if let Err(error) = async { writer.write(chunk?).await }.await {
                writer.abort().await;
                return Err(self.explain(error));
            }
        }
        writer.finish().await
    }

    fn stream(&self) -> BoxStream<'static, Result<Bytes>> {
        let generation = Some(self.generation.clone());
        ranges::read(Arc::clone(&self.objects), self.path.clone(), 0..self.bytes, generation).boxed()
    }

    fn explain(&self, error: Error) -> Error {
        if error.kind() != Kind::NotFound {
            return error;
        }
        let text = format!("{} was changed or removed while it was read; send the request again.", self.uri);
        Error::new(Kind::Conflict, text).with_code("object_changed").with_param("uri").with_source(error)
    }
}

fn unreadable(uri: &str, error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::not_found(format!("There is no object {uri}."))
            .with_code("object_not_found")
            .with_param("uri")
            .with_source(error),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            let text = format!(
                "{uri} can't be read by this platform. Let its service account read the bucket \
                 (roles/storage.objectViewer)."
            );
            Error::invalid(text).with_code("object_not_readable").with_param("uri").with_source(error)
        }
        error => Error::unavailable("The object can't be read right now. Try again.").with_source(error),
    }
}
