//! Files as OpenAI's API shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A file object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct File {
    /// `file-…`
    pub id: String,
    /// Always `file`.
    pub object: String,
    /// Size.
    pub bytes: u64,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds, or never.
    pub expires_at: Option<i64>,
    /// The name it was uploaded under.
    pub filename: String,
    /// `batch`, `batch_output`.
    pub purpose: String,
    /// `processed` or `error`. Deprecated by OpenAI, still read by clients.
    pub status: String,
    /// Why it could not be processed.
    pub status_details: Option<String>,
}

/// The answer to a deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileDeleted {
    /// The file that is gone.
    pub id: String,
    /// Always `file`.
    pub object: String,
    /// Always true.
    pub deleted: bool,
}

impl FileDeleted {
    /// The answer for `id`.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), object: "file".into(), deleted: true }
    }
}
