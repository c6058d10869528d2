//! Uploads, files that come in parts, as OpenAI's API shows them.

use crate::file::File;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An upload object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// `upload_…`
    pub id: String,
    /// Always `upload`.
    pub object: String,
    /// What its parts have to add up to.
    pub bytes: u64,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds; it takes no parts after that.
    pub expires_at: i64,
    /// The name of the file that it becomes.
    pub filename: String,
    /// The purpose of the file that it becomes.
    pub purpose: String,
    /// `pending`, `completed`, `cancelled` or `expired`.
    pub status: String,
    /// The file, once it is completed and as long as the file is there.
    pub file: Option<File>,
}

/// A part of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadPart {
    /// `part_…`
    pub id: String,
    /// Always `upload.part`.
    pub object: String,
    /// Unix seconds.
    pub created_at: i64,
    /// What it is a part of.
    pub upload_id: String,
}
