//! Everything that outlives a process: rows in SQL (PostgreSQL or SQLite) and blobs in object storage.
//! Knows nothing of HTTP, queues or models. The database is the only clock; every write that follows a claim
//! carries the epoch of that claim, so a worker that lost its lease can't change anything.

mod admission;
mod audit;
mod backlog;
mod batch_audit;
mod batch_events;
mod batch_models;
mod batch_parts;
mod batches;
mod bells;
mod blob_writer;
mod blobs;
mod clear;
mod controls;
mod dialect;
mod dispatch;
mod files;
mod grant;
mod idempotency;
mod ingest;
mod keys;
mod leases;
mod ledger;
mod limit_leases;
mod limits;
mod limits_admin;
mod line;
mod migrate;
mod outbox;
mod outcome;
mod paging;
mod plan;
mod records;
pub mod request;
mod results;
mod row;
mod segments;
mod settings;
mod store;
mod submissions;
mod sweep;
mod tenants;
mod webhooks;

pub use audit::{AuditEntry, AuditQuery, AuditRow, Author};
pub use backlog::{Backlog, TenantWork};
pub use batch_audit::ShardSums;
pub use batch_events::{BatchEvent, EventToTell};
pub use batch_models::ModelUsage;
pub use batch_parts::{BatchPart, FilePart};
pub use batches::{BatchRow, NewBatch};
pub use bells::Bell;
pub use blob_writer::{BlobInfo, BlobWriter};
pub use blobs::Blobs;
pub use clear::Leftovers;
pub use controls::BatchPatch;
pub use files::{DeadBlob, FileRow, NewFile};
pub use idempotency::{Begun, IdempotencyClaim, IdempotencyKey, IdempotentOutcome};
pub use ingest::{FileIndex, INDEX_RECORD_BYTES, Ingest, IngestLimits, LineIssue, LineRecord, ModelEstimate, Tally};
pub use keys::{ApiKey, KeyPatch, KeyRecord, MAX_KEY_OVERLAP, NewKey, Tenant};
pub use leases::{BatchLease, ShardLease, ShardPulse};
pub use ledger::{LedgerRow, UsageGroup, UsageLine, UsageQuery, UsageRow};
pub use limit_leases::{LeaseGrant, LeaseReport};
pub use limits::LimitState;
pub use limits_admin::LimitRow;
pub use migrate::{Applied, Migration};
pub use outbox::OutboxState;
pub use outcome::FinishBatch;
pub use plan::{NewShard, PlannedShards, ShardRow};
pub use records::{Side, append_record};
pub use results::{ResultLine, Results};
pub use segments::{CommitResult, NewSegment, SegmentBlob, SegmentRow};
pub use settings::DataSettings;
pub use store::Store;
pub use submissions::Submission;
pub use sweep::Swept;
pub use tenants::{TenantPatch, TenantRow};
pub use webhooks::{
    AttemptRow, AttemptSaid, ClaimedDelivery, DeliveriesState, DeliveryRow, NewWebhook, SealedSecret, Verdict,
    WebhookPatch, WebhookRow,
};
