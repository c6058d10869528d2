use serde::{Deserialize, Serialize};

/// What uploads may be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UploadsSettings {
    /// The largest file, in bytes.
    pub max_bytes: u64,
    /// The largest part, in bytes.
    pub max_part_bytes: u64,
    /// The most parts.
    pub max_parts: usize,
    /// The most lines of a batch input.
    pub max_lines: u64,
    /// Uploads that a tenant may have open at once.
    pub max_pending: i64,
    /// How long an upload takes parts, in seconds.
    pub ttl_secs: i64,
    /// How long a gateway that completes an upload may be silent before another may, in milliseconds.
    pub lease_ms: i64,
}

impl Default for UploadsSettings {
    fn default() -> Self {
        Self {
            max_bytes: 8 * 1024 * 1024 * 1024,
            max_part_bytes: 64 * 1024 * 1024,
            max_parts: 10_000,
            max_lines: 1_000_000,
            max_pending: 100,
            ttl_secs: 3_600,
            lease_ms: 30_000,
        }
    }
}
