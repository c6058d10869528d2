//! The parts of uploads: their rows; the bytes are blobs.

use crate::{
    BlobInfo, PartLines, Source, Store,
    row::{Columns, db},
};
use domain::{Error, PartId, Result, UploadId};
use sqlx::any::AnyRow;

/// A part to be recorded; its blob exists already.
#[derive(Debug, Clone)]
pub struct NewPart {
    /// A new id.
    pub id: PartId,
    /// What it is a part of.
    pub upload: UploadId,
    /// What was stored.
    pub info: BlobInfo,
    /// What was found in it, for batch inputs.
    pub lines: Option<PartLines>,
}

/// What an upload may hold.
#[derive(Debug, Clone, Copy)]
pub struct PartBounds {
    /// Parts.
    pub parts: i64,
    /// Bytes of all its parts, those that will not be used too.
    pub bytes: i64,
}

/// A recorded part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
    /// Its id.
    pub id: PartId,
    /// What it is a part of.
    pub upload: UploadId,
    /// What was stored.
    pub info: BlobInfo,
    /// What was found in it, for batch inputs.
    pub lines: Option<PartLines>,
    /// Milliseconds.
    pub created_at_ms: i64,
}

impl PartRow {
    /// Its bytes.
    #[must_use]
    pub fn source(&self) -> Source {
        Source { path: part_blob(&self.upload, &self.id), info: self.info }
    }
}

/// Where the parts of an upload are.
#[must_use]
pub fn upload_folder(upload: &UploadId) -> String {
    format!("uploads/{upload}")
}

/// Where the bytes of a part are.
#[must_use]
pub fn part_blob(upload: &UploadId, part: &PartId) -> String {
    format!("{}/{part}", upload_folder(upload))
}

impl Store {
    /// Records a part. `None`: its upload takes no parts any more, or no more than it has within `bounds`.
    pub async fn insert_part(&self, part: &NewPart, bounds: PartBounds) -> Result<Option<PartRow>> {
        let lines = part.lines.as_ref().map(serde_json::to_string).transpose().map_err(Error::internal)?;
        let bytes = i64::try_from(part.info.bytes).map_err(Error::internal)?;
        let row = self
            .sql(
                "INSERT INTO upload_parts (id, upload_id, bytes, crc32c, lines_json, created_at_ms) \
                 SELECT $1, $2, $3, $4, $5, now_ms() WHERE EXISTS (SELECT 1 FROM uploads WHERE id = $2 \
                 AND status = 'pending' AND (owner IS NULL OR lease_until_ms <= now_ms()) AND expires_at_ms > now_ms()) \
                 AND (SELECT COUNT(*) FROM upload_parts WHERE upload_id = $2) < $6 \
                 AND (SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM upload_parts WHERE upload_id = $2) + $3 <= $7 \
                 RETURNING *",
            )
            .bind(part.id.as_str().to_owned())
            .bind(part.upload.as_str().to_owned())
            .bind(bytes)
            .bind(i64::from(part.info.crc32c))
            .bind(lines)
            .bind(bounds.parts)
            .bind(bounds.bytes)
            .fetch_optional(self.writer())
            .await
            .map_err(db)?;
        row.as_ref().map(part_row).transpose()
    }

    /// Every part of an upload, in no order.
    pub async fn upload_parts(&self, upload: &UploadId) -> Result<Vec<PartRow>> {
        let rows = self.sql("SELECT * FROM upload_parts WHERE upload_id = $1").bind(upload.as_str().to_owned());
        rows.fetch_all(self.writer()).await.map_err(db)?.iter().map(part_row).collect()
    }
}

fn part_row(row: &AnyRow) -> Result<PartRow> {
    let columns = Columns(row);
    let lines = columns.opt_text("lines_json")?;
    Ok(PartRow {
        id: PartId::from_string(columns.text("id")?),
        upload: UploadId::from_string(columns.text("upload_id")?),
        info: BlobInfo { bytes: columns.int("bytes")?.cast_unsigned(), crc32c: columns.crc32c("crc32c")? },
        lines: lines.as_deref().map(serde_json::from_str).transpose().map_err(Error::internal)?,
        created_at_ms: columns.int("created_at_ms")?,
    })
}
