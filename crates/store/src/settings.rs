//! Where state is kept.

use crate::{Blobs, Store};
use domain::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where everything that outlives the process is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSettings {
    /// Folder of the embedded database and blobs.
    pub dir: PathBuf,
    /// `postgres://…`; empty = SQLite in `dir`.
    pub database_url: String,
    /// `gs://bucket/prefix`; empty = a folder in `dir`.
    pub blobs_url: String,
    /// Another address for Google Cloud Storage's; a stand-in if it is plain `http://`, which gets no credentials.
    pub blobs_endpoint: String,
}

impl Default for DataSettings {
    fn default() -> Self {
        let [database_url, blobs_url, blobs_endpoint] = Default::default();
        Self { dir: PathBuf::from("data"), database_url, blobs_url, blobs_endpoint }
    }
}

impl DataSettings {
    /// The database to open: the server, or the file in the data folder.
    #[must_use]
    pub fn database(&self) -> String {
        if self.database_url.is_empty() {
            format!("sqlite://{}", self.absolute_dir().join("tandem.db").display())
        } else {
            self.database_url.clone()
        }
    }

    /// The blob store to open.
    #[must_use]
    pub fn blobs(&self) -> String {
        if self.blobs_url.is_empty() {
            format!("file://{}", self.absolute_dir().join("blobs").display())
        } else {
            self.blobs_url.clone()
        }
    }

    /// The endpoint, if it is not Google's.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        Some(self.blobs_endpoint.as_str()).filter(|endpoint| !endpoint.is_empty())
    }

    /// Opens the blob store.
    ///
    /// # Errors
    /// When the URL or the endpoint is of another form, or the folder can't be made.
    pub fn open_blobs(&self) -> Result<Blobs> {
        Blobs::open_at(&self.blobs(), self.endpoint())
    }

    /// The data folder, independent of the current one.
    #[must_use]
    pub fn absolute_dir(&self) -> PathBuf {
        std::path::absolute(&self.dir).unwrap_or_else(|_| self.dir.clone())
    }

    /// Opens the database, making the data folder of an embedded one.
    ///
    /// # Errors
    /// When the folder can't be made or the database can't be reached.
    pub async fn open(&self) -> Result<Store> {
        let folder = self.absolute_dir();
        std::fs::create_dir_all(&folder).map_err(|error| {
            let text = format!("can't make the data folder {}: {error}", folder.display());
            Error::unavailable(text).with_source(error)
        })?;
        Store::open(&self.database()).await
    }

    /// Opens a database that other processes share.
    ///
    /// # Errors
    /// When none is named: a file belongs to one process.
    pub async fn open_shared(&self) -> Result<Store> {
        if self.database_url.is_empty() {
            return Err(Error::invalid(
                "data.database_url is not set. Gateway and workers are separate processes that share a PostgreSQL \
                 database: set TANDEM__DATA__DATABASE_URL=postgres://..., or run `tandem up`, which needs none.",
            ));
        }
        self.open().await
    }
}
