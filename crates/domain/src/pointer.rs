//! What a queue message carries: where the work is, never the work itself.

use serde::{Deserialize, Serialize};

/// Which kind of leased work a pointer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointerKind {
    /// Validate a new batch and plan its shards. `id` is a batch id.
    Validate,
    /// Run the lines of a shard. `id` is a shard id.
    Shard,
    /// Assemble the files of a batch and end it. `id` is a batch id.
    Finalize,
}

/// A doorbell message of about 100 bytes. It may be lost, doubled or reordered without harm: the row it points at
/// decides whether there is anything to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pointer {
    /// Version of this message; 1.
    pub v: u8,
    /// What to do.
    pub kind: PointerKind,
    /// The batch or shard it is about.
    pub id: String,
    /// W3C trace context of whoever rang.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub traceparent: Option<String>,
}

impl Pointer {
    /// A pointer of the current version.
    #[must_use]
    pub fn new(kind: PointerKind, id: &str) -> Self {
        Self { v: 1, kind, id: id.to_owned(), traceparent: None }
    }
}
