//! How the ledger is written.

use serde::{Deserialize, Serialize};

/// The `[gateway.ledger]` section.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerSettings {
    /// How many requests may run or wait to be written at once. Beyond it new ones wait.
    pub buffer_records: usize,
    /// How long they wait, in milliseconds, before they are refused with 503.
    pub wait_ms: u64,
    /// The pause between two writes, in milliseconds. Shorter while many records come.
    pub flush_ms: u64,
    /// How long records are kept, in days; 0 = for ever.
    pub retention_days: u64,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self { buffer_records: 65_536, wait_ms: 2_000, flush_ms: 100, retention_days: 400 }
    }
}
