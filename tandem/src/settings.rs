//! Every setting of the one-process topology, with its default. Nested parts belong to the crates that use them.

use anyhow::Context;
use chassis::{http::HttpSettings, telemetry::TelemetrySettings};
use gateway::GatewaySettings;
use serde::{Deserialize, Serialize};
use simulator::SimulatorSettings;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use worker::WorkerSettings;

/// The settings of `tandem`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) http: HttpSettings,
    pub(crate) admin: AdminSettings,
    pub(crate) data: DataSettings,
    pub(crate) models: ModelsSettings,
    pub(crate) drain: DrainSettings,
    pub(crate) telemetry: TelemetrySettings,
    pub(crate) gateway: GatewaySettings,
    pub(crate) worker: WorkerSettings,
    pub(crate) simulator: SimulatorSettings,
}

/// The port for probes and metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AdminSettings {
    pub(crate) bind: SocketAddr,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 9090)) }
    }
}

/// Where everything that outlives the process is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DataSettings {
    /// Folder of the embedded database and blobs.
    pub(crate) dir: PathBuf,
    /// `postgres://…`; empty = SQLite in `dir`.
    pub(crate) database_url: String,
    /// `gs://bucket/prefix`; empty = a folder in `dir`.
    pub(crate) blobs_url: String,
}

impl Default for DataSettings {
    fn default() -> Self {
        Self { dir: PathBuf::from("data"), database_url: String::new(), blobs_url: String::new() }
    }
}

impl DataSettings {
    /// The database to open.
    pub(crate) fn database(&self) -> String {
        if self.database_url.is_empty() {
            format!("sqlite://{}", self.absolute_dir().join("tandem.db").display())
        } else {
            self.database_url.clone()
        }
    }

    /// The blob store to open.
    pub(crate) fn blobs(&self) -> String {
        if self.blobs_url.is_empty() {
            format!("file://{}", self.absolute_dir().join("blobs").display())
        } else {
            self.blobs_url.clone()
        }
    }

    /// The data folder, independent of the current one.
    pub(crate) fn absolute_dir(&self) -> PathBuf {
        std::path::absolute(&self.dir).unwrap_or_else(|_| self.dir.clone())
    }
}

/// Where models are described.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ModelsSettings {
    /// The catalog; when the file does not exist and no upstream is named, the built-in simulator serves.
    pub(crate) file: PathBuf,
}

impl Default for ModelsSettings {
    fn default() -> Self {
        Self { file: PathBuf::from("models.toml") }
    }
}

/// How the process ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DrainSettings {
    /// Seconds that work in flight may take after SIGTERM.
    pub(crate) grace_secs: u64,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self { grace_secs: 8 }
    }
}

/// Reads defaults, then the file, then `TANDEM__SECTION__KEY` from the environment.
pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Settings> {
    let default = Path::new("tandem.toml");
    let file = file.or_else(|| default.exists().then_some(default));
    chassis::settings::load(file, std::env::vars()).context("the settings can't be used")
}
