//! Object storage: a local folder or a Google Cloud Storage bucket. Blobs are immutable once they can be seen.

use crate::{
    blob_writer::{BlobInfo, BlobWriter, SCRATCH, Source},
    gcs::Bucket,
    ranges, retry,
};
use backon::Retryable;
use bytes::Bytes;
use chrono::Utc;
use domain::{Error, Kind, Result};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, local::LocalFileSystem, memory::InMemory, path::Path,
    prefix::PrefixStore,
};
use std::{future::ready, ops::Range, sync::Arc, time::Duration};
use url::Url;
use uuid::Uuid;

/// Where the bytes are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// Where the store is a bucket: what it can do besides.
    bucket: Option<Arc<Bucket>>,
    /// Where Google's is, if elsewhere.
    endpoint: Option<Arc<str>>,
}

impl Blobs {
    /// Opens `file:///folder` (made when missing) or `gs://bucket/prefix`. Google credentials come from the
    /// environment, as Google's own tools find them.
    ///
    /// # Errors
    /// When the URL is of another form, or the folder can't be made.
    pub fn open(url: &str) -> Result<Self> {
        Self::open_at(url, None)
    }

    /// The same, with another address for Google's: a stand-in if it is plain HTTP, which gets no credentials.
    ///
    /// # Errors
    /// When the URL or the endpoint is of another form, or the folder can't be made.
    pub fn open_at(url: &str, endpoint: Option<&str>) -> Result<Self> {
        let parsed = Url::parse(url).map_err(|error| bad_url(url).with_source(error))?;
        let address = endpoint.map(Arc::from);
        match parsed.scheme() {
            "file" => Ok(Self { store: Arc::new(open_folder(url, &parsed)?), bucket: None, endpoint: address }),
            "gs" => {
                let (bucket, objects) = Bucket::open(url, endpoint)?;
                let store = Arc::new(PrefixStore::new(objects, bucket.prefix().clone()));
                Ok(Self { store, bucket: Some(Arc::new(bucket)), endpoint: address })
            }
            _ => Err(bad_url(url)),
        }
    }

    /// Blobs that end with the process, for tests.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { store: Arc::new(InMemory::new()), bucket: None, endpoint: None }
    }

    /// Whether blobs are put together where they are, without moving their bytes.
    #[must_use]
    pub fn can_compose(&self) -> bool {
        self.bucket.is_some()
    }

    pub(crate) fn bucket(&self) -> Option<&Arc<Bucket>> {
        self.bucket.as_ref()
    }

    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    pub(crate) fn objects(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// Writes a small blob that must not exist yet; Conflict when it does.
    ///
    /// # Errors
    /// Also when storage can't be reached: the blob may be there or not.
    pub async fn put_new(&self, path: &str, bytes: Bytes) -> Result<()> {
        let outcome = self.store.put_opts(&Path::from(path), bytes.into(), PutMode::Create.into()).await;
        outcome.map(drop).map_err(|error| blob_error(path, error))
    }

    /// Writes a small blob under a name that only these bytes ever get, and tries again where that may help. Finding
    /// the bytes there is success: an earlier try wrote them, and its answer was lost. Other bytes are what a torn
    /// write left, and are replaced.
    ///
    /// # Errors
    /// When storage can't be reached for as long as the retries last.
    pub async fn put_once(&self, path: &str, bytes: Bytes) -> Result<()> {
        (|| self.try_put_once(path, bytes.clone())).retry(retry::budget()).when(retry::is_worth_it).await
    }

    async fn try_put_once(&self, path: &str, bytes: Bytes) -> Result<()> {
        match self.put_new(path, bytes.clone()).await {
            Err(error) if error.kind() == Kind::Conflict => {}
            other => return other,
        }
        if self.get(path).await? == bytes {
            return Ok(());
        }
        tracing::warn!(path, "a torn write is replaced");
        self.store.put(&Path::from(path), bytes.into()).await.map(drop).map_err(|error| blob_error(path, error))
    }

    /// Moves a blob to a name that must be free.
    pub(crate) async fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        let moved = self.store.rename_if_not_exists(&Path::from(from), &Path::from(to)).await;
        moved.map_err(|error| blob_error(to, error))
    }

    /// A blob of any size, written as it comes, invisible until finished.
    #[must_use]
    pub fn writer(&self, path: &str) -> BlobWriter {
        BlobWriter::new(self, path)
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

    /// A blob, or a part of it, as it is read. From a bucket it is read range by range, each with its own deadline and
    /// retries, so that a slow reader of a large blob never meets them.
    ///
    /// # Errors
    /// When there is no such blob or it can't be read now.
    pub async fn stream(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        if self.bucket.is_some() {
            let range = match range {
                Some(range) => range,
                None => 0..self.size(path).await?.ok_or_else(|| gone(path))?,
            };
            return Ok(ranges::read(Arc::clone(&self.store), Path::from(path), range, None).boxed());
        }
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = self.store.get_opts(&Path::from(path), options).await.map_err(|error| blob_error(path, error))?;
        let path = path.to_owned();
        Ok(found.into_stream().map_err(move |error| blob_error(&path, error)).boxed())
    }

    /// All of a blob in blocks of a few megabytes, for whoever takes them as fast as they come.
    pub fn blocks(&self, source: &Source) -> BoxStream<'static, Result<Bytes>> {
        ranges::read(Arc::clone(&self.store), Path::from(source.path.as_str()), 0..source.info.bytes, None).boxed()
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
        self.delete_all(folder, doomed.boxed()).await
    }

    /// Removes what unfinished writing left behind more than `age` ago, by the clocks of the store and of this machine.
    ///
    /// # Errors
    /// When the store can't be reached.
    pub async fn clear_scratch(&self, age: Duration) -> Result<()> {
        let newest = Utc::now() - age;
        let found = self.store.list(Some(&Path::from(SCRATCH)));
        let old = found.try_filter_map(move |meta| ready(Ok((meta.last_modified < newest).then_some(meta.location))));
        self.delete_all(SCRATCH, old.boxed()).await
    }

    async fn delete_all(&self, folder: &str, doomed: BoxStream<'static, object_store::Result<Path>>) -> Result<()> {
        let mut gone = self.store.delete_stream(doomed);
        while let Some(outcome) = gone.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(blob_error(folder, error)),
            }
        }
        Ok(())
    }

    /// Makes one blob that is the sources in order. They stay.
    ///
    /// # Errors
    /// When a source is gone or not what it is said to be; Conflict when another blob has the name.
    pub async fn assemble(&self, target: &str, sources: &[Source]) -> Result<BlobInfo> {
        let mut writer = self.writer(target);
        for source in sources {
            if let Err(error) = writer.append(source).await {
                writer.abort().await;
                return Err(error);
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

pub(crate) fn bad_url(url: &str) -> Error {
    Error::invalid(format!("The blobs URL must be file:///absolute/folder or gs://bucket/prefix, not {url}"))
}

pub(crate) fn cannot_open(url: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable(format!("{url} can't be opened for blobs.")).with_source(error)
}

pub(crate) fn gone(path: &str) -> Error {
    Error::not_found("The content is gone.").with_source(format!("no blob {path}"))
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
