//! Every setting of the `orchestrator` process, with its default.

use chassis::{http::HttpSettings, telemetry::TelemetrySettings};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// The settings of the `orchestrator` process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The internal service.
    pub http: HttpSettings,
    /// The port for probes and metrics.
    pub admin: AdminSettings,
    /// The catalog file.
    pub models: PathBuf,
    /// How long calls in flight may take after a signal.
    pub grace_secs: u64,
    /// Log, traces, metrics.
    pub telemetry: TelemetrySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http: HttpSettings { bind: SocketAddr::from(([127, 0, 0, 1], 8081)), ..HttpSettings::default() },
            admin: AdminSettings::default(),
            models: PathBuf::from("models.toml"),
            grace_secs: 8,
            telemetry: TelemetrySettings::default(),
        }
    }
}

/// The port for probes and metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSettings {
    /// Where to listen.
    pub bind: SocketAddr,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 9091)) }
    }
}
