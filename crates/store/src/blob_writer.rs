//! Writing a blob of unknown size in constant memory, from bytes and from other blobs. What is being written is in
//! the scratch folder; the blob appears in one step, and only if its name is free.

use crate::{Blobs, blobs::blob_error, gcs::Bucket};
use bytes::{Bytes, BytesMut};
use domain::{Error, Result};
use futures::StreamExt;
use object_store::{MultipartUpload, ObjectStoreExt, path::Path};
use std::sync::Arc;
use uuid::Uuid;

/// The size of a part.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// Unfinished writing.
pub(crate) const SCRATCH: &str = "tmp";

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlobInfo {
    /// How long it is.
    pub bytes: u64,
    /// CRC-32C of all of it.
    pub crc32c: u32,
}

impl BlobInfo {
    /// What these bytes are.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, crc32c: crc32c::crc32c(bytes) }
    }

    /// Takes in the bytes that follow.
    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
    }

    /// Takes in the blob that follows.
    pub fn join(&mut self, next: Self) {
        let length = usize::try_from(next.bytes).expect("a length below 16 EiB on a 64-bit machine");
        self.crc32c = crc32c::crc32c_combine(self.crc32c, next.crc32c, length);
        self.bytes += next.bytes;
    }
}

/// A blob that another one is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: String,
    /// What it is.
    pub info: BlobInfo,
}

/// A blob being written; nobody sees it before [`BlobWriter::finish`]. Dropped without [`BlobWriter::abort`] it may
/// leave parts in the scratch folder, which [`Blobs::clear_scratch`] removes.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Blobs,
    path: String,
    scratch: String,
    buffer: BytesMut,
    info: BlobInfo,
    assembler: Assembler,
}

/// How parts become one blob.
#[derive(Debug)]
enum Assembler {
    /// A multipart upload into the scratch folder, renamed when it is whole.
    Streamed(Option<Box<dyn MultipartUpload>>),
    /// Objects that Google puts together where they are. Its multipart uploads know no preconditions.
    Composed { bucket: Arc<Bucket>, sources: Vec<Source>, has_scratch: bool },
}

impl BlobWriter {
    pub(crate) fn new(blobs: &Blobs, path: &str) -> Self {
        let assembler = match blobs.bucket() {
            None => Assembler::Streamed(None),
            Some(bucket) => Assembler::Composed { bucket: Arc::clone(bucket), sources: Vec::new(), has_scratch: false },
        };
        Self {
            blobs: blobs.clone(),
            path: path.to_owned(),
            scratch: format!("{SCRATCH}/{}", Uuid::now_v7().simple()),
            buffer: BytesMut::new(),
            info: BlobInfo::default(),
            assembler,
        }
    }

    /// Adds bytes; waits while a full part is on its way.
    ///
    /// # Errors
    /// When a part can't be stored.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.info.append(&bytes);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PART_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
            if self.buffer.len() == PART_BYTES {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Adds another blob, which stays. On Google Cloud Storage its bytes don't move; elsewhere they are copied.
    ///
    /// # Errors
    /// When it can't be read, or is not what it is said to be.
    pub async fn append(&mut self, source: &Source) -> Result<()> {
        if source.info.bytes == 0 {
            return Ok(());
        }
        if matches!(self.assembler, Assembler::Composed { .. }) {
            self.send_part().await?;
            self.info.join(source.info);
            self.push(source.clone(), false);
            return Ok(());
        }
        let mut found = BlobInfo::default();
        let mut bytes = self.blobs.blocks(source);
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk?;
            found.append(&chunk);
            self.write(chunk).await?;
        }
        if found == source.info {
            return Ok(());
        }
        Err(Error::internal(format!("{} is {found:?}; {:?} was written", source.path, source.info)))
    }

    /// How much was written so far.
    #[must_use]
    pub fn info(&self) -> BlobInfo {
        self.info
    }

    /// Makes the blob visible.
    ///
    /// # Errors
    /// When it can't be stored; Conflict when another blob has its name.
    pub async fn finish(mut self) -> Result<BlobInfo> {
        let outcome = self.complete().await;
        match outcome {
            Ok(()) => {
                self.tidy().await;
                Ok(self.info)
            }
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Throws away what was written.
    pub async fn abort(mut self) {
        if let Assembler::Streamed(upload) = &mut self.assembler
            && let Some(mut upload) = upload.take()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(path = self.path, %error, "an unfinished blob could not be removed");
        }
        self.tidy().await;
    }

    async fn complete(&mut self) -> Result<()> {
        if self.is_one_part() {
            let bytes = self.buffer.split().freeze();
            return self.blobs.put_once(&self.path, bytes).await;
        }
        self.send_part().await?;
        match &mut self.assembler {
            Assembler::Streamed(None) => Ok(()),
            Assembler::Streamed(Some(upload)) => {
                upload.complete().await.map_err(|error| blob_error(&self.path, error))?;
                self.blobs.rename_new(&self.scratch, &self.path).await
            }
            Assembler::Composed { bucket, sources, .. } => {
                let made = bucket.compose(&self.path, &self.scratch, std::mem::take(sources)).await?;
                if made == self.info { Ok(()) } else { Err(Error::internal(format!("{} is {made:?}", self.path))) }
            }
        }
    }

    fn is_one_part(&self) -> bool {
        match &self.assembler {
            Assembler::Streamed(upload) => upload.is_none(),
            Assembler::Composed { sources, .. } => sources.is_empty(),
        }
    }

    async fn send_part(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let part = self.buffer.split().freeze();
        match &mut self.assembler {
            Assembler::Streamed(upload) => {
                let error = |error| blob_error(&self.path, error);
                let upload = match upload {
                    Some(upload) => upload,
                    none => {
                        let begun = self.blobs.objects().put_multipart(&Path::from(self.scratch.as_str())).await;
                        none.insert(begun.map_err(error)?)
                    }
                };
                upload.put_part(part.into()).await.map_err(error)
            }
            Assembler::Composed { sources, .. } => {
                let source =
                    Source { path: format!("{}/part-{}", self.scratch, sources.len()), info: BlobInfo::of(&part) };
                self.blobs.put_once(&source.path, part).await?;
                self.push(source, true);
                Ok(())
            }
        }
    }

    fn push(&mut self, source: Source, is_scratch: bool) {
        if let Assembler::Composed { sources, has_scratch, .. } = &mut self.assembler {
            sources.push(source);
            // More than one call may need makes nodes.
            *has_scratch |= is_scratch || sources.len() > 1;
        }
    }

    /// What of the scratch folder is left. A blob does not need its sources; the sweep finds what stays.
    async fn tidy(&mut self) {
        if let Assembler::Composed { has_scratch: true, .. } = &self.assembler
            && let Err(error) = self.blobs.clear(&self.scratch, Vec::new()).await
        {
            tracing::warn!(path = self.path, error = %error.chain(), "parts of a blob could not be removed yet");
        }
    }
}
