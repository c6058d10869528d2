//! Where the bytes of an upload go: to the blob store, and on the way through the line index if they may be a batch.

use bytes::Bytes;
use domain::Result;
use store::{BlobWriter, Blobs, FileIndex, Ingest, IngestLimits};

/// An upload that is being written.
pub(super) enum Sink {
    Lines(Box<Ingest>),
    Plain(BlobWriter),
    /// For forms that are only looked through.
    Nowhere,
}

impl Sink {
    pub(super) fn open(blobs: &Blobs, blob: &str, may_be_batch: bool) -> Self {
        if may_be_batch {
            Self::Lines(Box::new(Ingest::new(blobs, blob, IngestLimits::default())))
        } else {
            Self::Plain(blobs.writer(blob))
        }
    }

    pub(super) async fn write(&mut self, chunk: Bytes) -> Result<()> {
        match self {
            Self::Lines(ingest) => ingest.feed(chunk).await,
            Self::Plain(writer) => writer.write(chunk).await,
            Self::Nowhere => Ok(()),
        }
    }

    /// Makes the blob visible.
    pub(super) async fn finish(self) -> Result<Option<FileIndex>> {
        match self {
            Self::Lines(ingest) => ingest.finish().await.map(Some),
            Self::Plain(writer) => writer.finish().await.map(|_| None),
            Self::Nowhere => Ok(None),
        }
    }

    /// Leaves no trace.
    pub(super) async fn abort(self) {
        match self {
            Self::Lines(ingest) => ingest.abort().await,
            Self::Plain(writer) => writer.abort().await,
            Self::Nowhere => {}
        }
    }
}
