//! Where the bytes of an upload go: to the blob store, and on the way through the line index if they may be a batch.

use crate::app::Gateway;
use bytes::Bytes;
use domain::Result;
use store::{BlobWriter, FileIndex, ingest::Ingest};

/// An upload that is being written.
pub(super) enum Sink {
    Lines(Box<Ingest>),
    Plain(BlobWriter),
}
