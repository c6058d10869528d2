//! What an operator may tune of idempotency keys.

use serde::{Deserialize, Serialize};

/// How long and how much is remembered of requests with an `Idempotency-Key`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplaySettings {
    /// How long an outcome is replayed, in seconds.
    pub ttl_secs: u32,
    /// The largest body that is replayed, in bytes.
    pub max_body_bytes: usize,
    /// The most that the bodies of requests still running may hold together, in bytes.
    pub max_running_bytes: usize,
    /// How long a request whose client has gone runs on, in seconds.
    pub grace_secs: u32,
    /// How long a key stays taken when the process that runs its request dies, in milliseconds. It is renewed three times as often.
    pub lease_ms: u32,
}

impl Default for ReplaySettings {
    fn default() -> Self {
        Self {
            ttl_secs: 86_400,
            max_body_bytes: 1 << 20,
            max_running_bytes: 64 << 20,
            grace_secs: 30,
            lease_ms: 30_000,
        }
    }
}
