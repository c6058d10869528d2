//! Reading a large object of a bucket range by range. Memory is bounded by the length of a range.

use crate::blobs::blob_error;
use bytes::Bytes;
use domain::{Error, Result};
use futures::{Stream, stream};
use object_store::{GetOptions, GetRange, ObjectStore, path::Path};
use std::{ops::Range, sync::Arc};

const RANGE_BYTES: u64 = 4 * 1024 * 1024;

/// The bytes of `range`, of this generation of the object if one is named.
pub(crate) fn read(
    store: Arc<dyn ObjectStore>,
    path: Path,
    range: Range<u64>,
    generation: Option<String>,
) -> impl Stream<Item = Result<Bytes>> + Send + Unpin + use<> {
    Box::pin(stream::try_unfold(range.start, move |start| {
        let (store, path, generation) = (Arc::clone(&store), path.clone(), generation.clone());
        let end = range.end.min(start.saturating_add(RANGE_BYTES));
        async move {
            if start >= end {
                return Ok(None);
            }
            let range = Some(GetRange::Bounded(start..end));
            let options = GetOptions { range, version: generation, ..GetOptions::default() };
            let error = |error| blob_error(path.as_ref(), error);
            let found = store.get_opts(&path, options).await.map_err(error)?;
            let bytes = found.bytes().await.map_err(error)?;
            if bytes.len() as u64 != end - start {
                let text = format!("{path} ends {} bytes after byte {start}", bytes.len());
                return Err(Error::unavailable("Storage broke off. Try again.").with_source(text));
            }
            Ok(Some((bytes, end)))
        }
    }))
}
