//! What an operator may tune at the door.

use crate::{
    identity::IdentitySettings, ledger::LedgerSettings, limits::LimitsSettings, overload::OverloadSettings,
    replay::ReplaySettings, uploads::UploadsSettings,
};
use serde::{Deserialize, Serialize};
use store::ImportsSettings;

/// The limits and periods of the gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySettings {
    /// The largest file of purpose `batch`, in bytes.
    pub max_batch_file_bytes: u64,
    /// The largest file of any other purpose, in bytes.
    pub max_file_bytes: u64,
    /// How long a file of purpose `batch` is kept when the upload does not say, in seconds.
    pub batch_file_ttl_secs: i64,
    /// How often the keys are read again; a revoked key works at most this long, in milliseconds.
    pub keys_refresh_ms: u64,
    /// The shortest time between two readings that unknown keys ask for, in milliseconds.
    pub keys_miss_refresh_ms: u64,
    /// How long a new batch waits for the queue to take its pointer, in milliseconds. The sweep finds it anyway.
    pub ring_timeout_ms: u64,
    /// How often the batch work that waits is measured, in milliseconds.
    pub backlog_ms: u64,
    /// How many requests run at once.
    pub overload: OverloadSettings,
    /// How limits are kept between replicas.
    pub limits: LimitsSettings,
    /// How the ledger is written.
    pub ledger: LedgerSettings,
    /// Keys and tokens.
    pub identity: IdentitySettings,
    /// Requests with an `Idempotency-Key`.
    pub replay: ReplaySettings,
    /// Files that come in parts.
    pub uploads: UploadsSettings,
    /// Files that are fetched from buckets.
    pub imports: ImportsSettings,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            max_batch_file_bytes: 2 * 1024 * 1024 * 1024,
            max_file_bytes: 512 * 1024 * 1024,
            batch_file_ttl_secs: 30 * 86_400,
            keys_refresh_ms: 2_000,
            keys_miss_refresh_ms: 250,
            ring_timeout_ms: 1_000,
            backlog_ms: 5_000,
            overload: OverloadSettings::default(),
            limits: LimitsSettings::default(),
            ledger: LedgerSettings::default(),
            identity: IdentitySettings::default(),
            replay: ReplaySettings::default(),
            uploads: UploadsSettings::default(),
            imports: ImportsSettings::default(),
        }
    }
}
