//! Everything that outlives a process: rows in SQL (PostgreSQL or SQLite) and blobs in object storage.
//! Knows nothing of HTTP, queues or models. The database is the only clock; every write that follows a claim
//! carries the epoch of that claim, so a worker that lost its lease can't change anything.

mod batches;
mod bells;
mod blob_writer;
mod blobs;
mod clear;
mod dialect;
mod files;
mod idempotency;
mod ingest;
mod keys;
mod leases;
mod line;
mod migrate;
mod outcome;
mod plan;
mod row;
mod segments;
mod settings;
mod store;
mod sweep;

pub use batches::{BatchRow, NewBatch};
pub use bells::Bell;
pub use blob_writer::{BlobInfo, BlobWriter};
pub use blobs::Blobs;
pub use clear::Leftovers;
pub use files::{DeadBlob, FileRow, NewFile};
pub use idempotency::{Begun, IdempotencyClaim, IdempotencyKey, IdempotentOutcome};
pub use ingest::{FileIndex, INDEX_RECORD_BYTES, Ingest, IngestLimits, LineIssue, LineRecord, Tally};
pub use keys::{ApiKey, KeyRecord, NewKey, Tenant};
pub use leases::{BatchLease, ShardLease, ShardPulse};
pub use migrate::{Applied, Migration};
pub use outcome::FinishBatch;
pub use plan::{NewShard, ShardRow};
pub use segments::{CommitResult, NewSegment, SegmentRow};
pub use settings::DataSettings;
pub use store::Store;
pub use sweep::Swept;
