//! What can be tuned about a worker. The defaults suit one process on a small machine.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The settings of one worker process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSettings {
    /// Shards worked on at once.
    pub shards: usize,
    /// Shards of one tenant that all workers together work on at once, where nothing else is set for it; none = all slots.
    pub tenant_shards: Option<u32>,
    /// Calls in flight at once, per model; how many of them an endpoint carries is decided where they are routed.
    pub concurrency: usize,
    /// How long a lease lasts without a heartbeat.
    pub lease_ms: i64,
    /// Pause between heartbeats.
    pub heartbeat_ms: u64,
    /// Pause between looks at the database, doorbell or not.
    pub poll_ms: u64,
    /// Pause between sweeps.
    pub sweep_ms: u64,
    /// Finished lines that make a checkpoint.
    pub flush_lines: usize,
    /// Bytes of finished lines that make a checkpoint.
    pub flush_bytes: usize,
    /// The longest a finished line waits for a checkpoint.
    pub flush_ms: u64,
    /// Calls that may fail on the line's own account before it is recorded as failed.
    pub max_attempts: u32,
    /// The longest one call may take.
    #[serde(with = "humantime_serde")]
    pub call_timeout: Duration,
    /// The largest answer kept.
    pub max_response_bytes: usize,
    /// The most lines in a shard.
    pub shard_lines: usize,
    /// The most input bytes in a shard; a longer line has a shard of its own.
    pub shard_bytes: u64,
    /// The most estimated tokens in a shard, read and generated.
    pub shard_tokens: u64,
    /// Unfinished shards that a batch may have at once.
    pub window: usize,
    /// How long calls in flight may go on after the window of the batch closed. Leases end a minute after it.
    pub expiry_grace_ms: u64,
    /// How long calls in flight may go on after the worker was told to stop.
    pub drain_grace_ms: u64,
    /// Pause between looks for bytes that nobody can reach any more.
    pub purge_ms: u64,
    /// How long the segments of an ended batch, and the parts of an ended upload, are kept; longer than a lease, which a straggler may still hold.
    pub keep_segments_ms: i64,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            shards: 4,
            tenant_shards: None,
            concurrency: 256,
            lease_ms: 30_000,
            heartbeat_ms: 10_000,
            poll_ms: 2_000,
            sweep_ms: 5_000,
            flush_lines: 64,
            flush_bytes: 1 << 20,
            flush_ms: 500,
            max_attempts: 3,
            call_timeout: Duration::from_secs(600),
            max_response_bytes: 32 << 20,
            shard_lines: 256,
            shard_bytes: 4 << 20,
            shard_tokens: 500_000,
            window: 64,
            expiry_grace_ms: 45_000,
            drain_grace_ms: 1_500,
            purge_ms: 60_000,
            keep_segments_ms: 600_000,
        }
    }
}

impl WorkerSettings {
    /// The lease as the worker's own clock sees it.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.unsigned_abs())
    }
}

/// `pause`, give or take a quarter, so that workers started together do not act together.
pub(crate) fn jittered(pause_ms: u64) -> Duration {
    Duration::from_millis(pause_ms).mul_f64(rand::random_range(0.75..1.25))
}
