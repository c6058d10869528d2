//! Object storage: a local folder or a Google Cloud Storage bucket. Blobs are immutable once they can be seen.

use crate::blob_writer::{BlobInfo, BlobWriter};
use bytes::Bytes;
use domain::{Error, Kind, Result};
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, gcp::GoogleCloudStorageBuilder, local::LocalFileSystem,
    path::Path, prefix::PrefixStore,
};
use std::{future::ready, ops::Range, sync::Arc};
use url::Url;
use uuid::Uuid;

/// Where the bytes are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
}

impl Blobs {
    /// Opens `file:///folder` (made when missing) or `gs://bucket/prefix`. Google credentials come from the
    /// environment, as Google's own tools find them.
    pub fn open(url: &str) -> Result<Self> {
        let parsed = Url::parse(url).map_err(|error| bad_url(url).with_source(error))?;
        let store: Arc<dyn ObjectStore> = match parsed.scheme() {
            "file" => Arc::new(open_folder(url, &parsed)?),
            "gs" => {
                let bucket = parsed.host_str().ok_or_else(|| bad_url(url))?;
                let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
                let gcs = builder.build().map_err(|error| cannot_open(url, error))?;
                Arc::new(PrefixStore::new(gcs, parsed.path()))
            }
            _ => return Err(bad_url(url)),
        };
        Ok(Self { store })
    }

    /// Writes a small blob that must not exist yet; Conflict when it does.
    pub async fn put_new(&self, path: &str, bytes: Bytes) -> Result<()> {
        let outcome = self.store.put_opts(&Path::from(path), bytes.into(), PutMode::Create.into()).await;
        outcome.map(drop).map_err(|error| blob_error(path, error))
    }

    /// A blob of any size, written as it comes, invisible until finished.
    #[must_use]
    pub fn writer(&self, path: &str) -> BlobWriter {
        BlobWriter::new(Arc::clone(&self.store), path)
    }

    /// The whole of a blob that is known to be small.
    pub async fn get(&self, path: &str) -> Result<Bytes> {
        let found = self.store.get(&Path::from(path)).await.map_err(|error| blob_error(path, error))?;
        found.bytes().await.map_err(|error| blob_error(path, error))
    }

    /// A part of a blob that is known to be small.
    pub async fn range(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.store.get_range(&Path::from(path), range).await.map_err(|error| blob_error(path, error))
    }

    /// A blob, or a part of it, as it is read.
    pub async fn stream(
        &self,
        path: &str,
        range: Option<Range<u64>>,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + Unpin + use<>> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = self.store.get_opts(&Path::from(path), options).await.map_err(|error| blob_error(path, error))?;
        let path = path.to_owned();
        Ok(found.into_stream().map_err(move |error| blob_error(&path, error)))
    }

    /// How long a blob is; `None` when there is none.
    pub async fn size(&self, path: &str) -> Result<Option<u64>> {
        match self.store.head(&Path::from(path)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(blob_error(path, error)),
        }
    }

    /// Removes a blob; fine when there is none.
    pub async fn delete(&self, path: &str) -> Result<()> {
        match self.store.delete(&Path::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(blob_error(path, error)),
        }
    }

    /// Removes every blob in a folder but those to `keep`; fine when there are none.
    pub async fn clear(&self, folder: &str, keep: Vec<String>) -> Result<()> {
        let found = self.store.list(Some(&Path::from(folder))).map_ok(|meta| meta.location);
        let doomed = found.try_filter(move |path| ready(!keep.iter().any(|kept| kept == path.as_ref())));
        let mut gone = self.store.delete_stream(doomed.boxed());
        while let Some(outcome) = gone.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(blob_error(folder, error)),
            }
        }
        Ok(())
    }

    /// Writes one blob that is the sources in order, streaming.
    pub async fn assemble(&self, target: &str, sources: &[String]) -> Result<BlobInfo> {
        let mut writer = self.writer(target);
        for source in sources {
            let mut bytes = self.stream(source, None).await?;
            while let Some(part) = bytes.next().await {
                writer.write(part?).await?;
            }
        }
        writer.finish().await
    }

    /// Whether blobs can be written, read and removed.
    pub async fn ping(&self) -> Result<()> {
        let path = format!("ping/{}", Uuid::now_v7().simple());
        self.put_new(&path, Bytes::from_static(b"ping")).await?;
        self.get(&path).await?;
        self.delete(&path).await
    }
}

fn open_folder(url: &str, parsed: &Url) -> Result<LocalFileSystem> {
    let folder = parsed.to_file_path().map_err(|()| bad_url(url))?;
    std::fs::create_dir_all(&folder).map_err(|error| cannot_open(url, error))?;
    let store = LocalFileSystem::new_with_prefix(&folder).map_err(|error| cannot_open(url, error))?;
    // A committed row must never name bytes that a power cut took away.
    Ok(store.with_fsync(true))
}

fn bad_url(url: &str) -> Error {
    Error::invalid(format!("The blobs URL must be file:///absolute/folder or gs://bucket/prefix, not {url}"))
}

fn cannot_open(url: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable(format!("{url} can't be opened for blobs.")).with_source(error)
}

/// A storage error as ours; paths are internal and stay in the log.
pub(crate) fn blob_error(path: &str, error: object_store::Error) -> Error {
    let cause = format!("blob {path}: {error}");
    match error {
        object_store::Error::NotFound { .. } => Error::not_found("The content is gone.").with_source(cause),
        object_store::Error::AlreadyExists { .. } => {
            Error::new(Kind::Conflict, "The content exists already.").with_source(cause)
        }
        _ => Error::unavailable("Storage can't be reached right now. Try again.").with_source(cause),
    }
}
