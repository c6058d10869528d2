//! What became of the lines of a batch, shard by shard, with the checksums that its files can be held against. Checksums are
//! CRC-32C as eight hexadecimal digits; lines are counted from 1, without blank ones.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The account of a batch, or a page of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchAudit {
    /// Always `batch.audit`.
    pub object: String,
    /// The batch.
    pub batch_id: String,
    /// Where it is in its life.
    pub status: String,
    /// The input; null when it is gone.
    pub input: Option<AuditFile>,
    /// The output file; null when there is none.
    pub output: Option<AuditFile>,
    /// The error file; null when there is none.
    pub error: Option<AuditFile>,
    /// Everything together.
    pub totals: AuditTotals,
    /// The shards of this page, in the order of their lines.
    pub shards: Vec<AuditShard>,
    /// Lines that were never in a shard, once the batch has ended; on the last page.
    pub unplanned: Option<AuditRun>,
    /// The last shard of this page: the `after_shard` of the next one.
    pub last_shard: Option<i64>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// A file as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditFile {
    /// Its id.
    pub id: String,
    /// How long it is.
    pub bytes: u64,
    /// Of its bytes; null for files of older versions.
    pub crc32c: Option<String>,
}

/// All shards together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditTotals {
    /// Lines of the input.
    pub lines: i64,
    /// Answered with a 2xx.
    pub completed: i64,
    /// Executed and answered with anything else.
    pub failed: i64,
    /// Not executed because of a cancel.
    pub cancelled: i64,
    /// Not executed before the window closed.
    pub expired: i64,
    /// Shards that were made.
    pub shards: i64,
    /// Leases of shards that were given.
    pub leases: i64,
    /// Leases that ended without a word from their worker.
    pub crashes: i64,
    /// Checkpoints.
    pub segments: i64,
    /// Model calls made again because their worker ended before their records were kept. Misses at most those of its last half second.
    pub redone_requests: i64,
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditShard {
    /// Its id.
    pub id: String,
    /// Its place, counted from 0.
    pub shard: i64,
    /// `runnable`, `leased` or `done`.
    pub status: String,
    /// Lines answered with a 2xx.
    pub completed: i64,
    /// Lines executed and answered with anything else.
    pub failed: i64,
    /// Its newest epoch, which is also how many leases it had.
    pub epoch: i64,
    /// Leases that ended without a word from their worker.
    pub crashes: i64,
    /// Model calls made again because their worker ended before their records were kept. Misses at most those of its last half second.
    pub redone_requests: i64,
    /// Its checkpoints.
    pub segments: Vec<AuditSegment>,
    /// Its lines and their records.
    #[serde(flatten)]
    pub run: AuditRun,
}

/// One checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditSegment {
    /// The lease it was written under.
    pub epoch: i64,
    /// Its place within that lease.
    pub seq: i64,
    /// Lines in it.
    pub lines: u64,
    /// Of the object with its answered lines.
    pub ok_crc32c: Option<String>,
    /// Of the object with its other lines.
    pub error_crc32c: Option<String>,
}

/// Consecutive lines, and where their records are in the files of an ended batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRun {
    /// The first line.
    pub first_line: i64,
    /// The last line.
    pub last_line: i64,
    /// Their records in the output file; null before the batch has ended.
    pub output: Option<AuditRange>,
    /// Their records in the error file; null before the batch has ended.
    pub error: Option<AuditRange>,
}

/// A range of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRange {
    /// Its first byte.
    pub start: u64,
    /// How long it is.
    pub bytes: u64,
    /// Of its bytes.
    pub crc32c: String,
}

/// A checksum as the audit writes it.
#[must_use]
pub fn hex_crc32c(crc32c: u32) -> String {
    format!("{crc32c:08x}")
}
