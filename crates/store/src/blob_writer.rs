//! Writing a blob of unknown size in constant memory. Small ones are one request, large ones a multipart upload.

use crate::blobs::blob_error;
use bytes::{Bytes, BytesMut};
use domain::{Error, Result};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, path::Path};
use std::sync::Arc;

/// The size of a part. Google allows 10,000 parts, so a blob may have 80 GB.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// How long it is.
    pub bytes: u64,
    /// CRC-32C of all of it.
    pub crc32c: u32,
}

/// A blob being written; nobody sees it before [`BlobWriter::finish`]. Dropping it leaves nothing behind in a local
/// folder; in a bucket, unfinished parts are left to the bucket's lifecycle rule unless [`BlobWriter::abort`] is called.
#[derive(Debug)]
pub struct BlobWriter {
    store: Arc<dyn ObjectStore>,
    path: String,
    buffer: BytesMut,
    upload: Option<Box<dyn MultipartUpload>>,
    info: BlobInfo,
}

impl BlobWriter {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, path: &str) -> Self {
        let info = BlobInfo { bytes: 0, crc32c: 0 };
        Self { store, path: path.to_owned(), buffer: BytesMut::new(), upload: None, info }
    }

    /// Adds bytes; waits while a full part is on its way.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.info.bytes += bytes.len() as u64;
        self.info.crc32c = crc32c::crc32c_append(self.info.crc32c, &bytes);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PART_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
            if self.buffer.len() == PART_BYTES {
                self.send_part().await.map_err(|error| self.error(error))?;
            }
        }
        Ok(())
    }

    /// How much was written so far.
    #[must_use]
    pub fn info(&self) -> BlobInfo {
        self.info
    }

    /// Makes the blob visible.
    pub async fn finish(mut self) -> Result<BlobInfo> {
        let outcome = self.complete().await;
        match outcome {
            Ok(()) => Ok(self.info),
            Err(error) => {
                let error = self.error(error);
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Throws away what was written.
    pub async fn abort(mut self) {
        if let Some(mut upload) = self.upload.take()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(path = self.path, %error, "an unfinished blob could not be removed");
        }
    }

    async fn complete(&mut self) -> object_store::Result<()> {
        if self.upload.is_none() {
            let bytes = self.buffer.split().freeze();
            return self.store.put(&Path::from(self.path.as_str()), bytes.into()).await.map(drop);
        }
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        match &mut self.upload {
            Some(upload) => upload.complete().await.map(drop),
            None => Ok(()),
        }
    }

    async fn send_part(&mut self) -> object_store::Result<()> {
        let part = self.buffer.split().freeze();
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.store.put_multipart(&Path::from(self.path.as_str())).await?),
        };
        upload.put_part(part.into()).await
    }

    fn error(&self, error: object_store::Error) -> Error {
        blob_error(&self.path, error)
    }
}
