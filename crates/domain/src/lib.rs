//! The words and rules of Tandem, free of I/O: identifiers, the batch state machine, usage, money,
//! the context of a request and the one error that crosses crates. Nothing here may know HTTP, SQL or a clock.

mod batch;
mod bitmap;
pub mod claims;
mod context;
mod error;
mod event;
pub mod fair;
mod id;
mod identity;
mod label;
mod ledger;
mod limit;
mod money;
mod pointer;
mod terms;
mod text;
mod trace;
mod usage;
mod webhook;

pub use batch::{BatchStatus, Endpoint, LineCounts, ShardStatus, completion_window_secs};
pub use bitmap::Bitmap;
pub use context::{Class, RequestContext, Wishes};
pub use error::{Error, Kind, Result};
pub use event::{BatchEventKind, quarter_reached};
pub use id::{
    AttemptId, AuditId, BatchId, DeliveryId, EventId, FileId, KeyId, LimitId, PartId, ReplicaId, RequestId, ShardId,
    TenantId, UploadId, UsageId, WebhookId, WorkerId,
};
pub use identity::{Caller, ModelAccess, Scope, Scopes};
pub use label::{MAX_NAME_CHARS, MAX_NOTE_CHARS, judge_name, judge_note};
pub use ledger::{RequestOutcome, UsageRecord};
pub use limit::{Limit, LimitKind, SubjectKind};
pub use money::Money;
pub use pointer::{Pointer, PointerKind};
pub use terms::{DailyWindow, LINES_A_SHARD, Priority, Terms, lines_of_cap, shards_of_cap};
pub use text::ShortText;
pub use trace::{TraceContext, TraceId};
pub use usage::Usage;
pub use webhook::{AttemptOutcome, DeliveryStatus, DisabledReason};
