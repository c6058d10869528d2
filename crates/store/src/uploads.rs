//! Files that come in parts: the row of an upload, from its making to the file that it becomes. Whoever completes one holds
//! a lease on it; the transaction that ends it also makes the file.

use crate::{
    FileRow, NewFile, Store,
    files::file_row,
    row::{Columns, db},
};
use domain::{FileId, Result, TenantId, UploadId};
use sqlx::any::AnyRow;

/// An upload to be made.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// A new id.
    pub id: UploadId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What its parts have to add up to.
    pub bytes: i64,
    /// As the client names it.
    pub filename: String,
    /// As OpenAI's `purpose`.
    pub purpose: String,
    /// As the client says.
    pub mime_type: String,
    /// How long the file is kept, in seconds; `None` = for ever.
    pub file_ttl_secs: Option<i64>,
    /// How long it takes parts, in milliseconds.
    pub ttl_ms: i64,
}

/// Where an upload is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadStatus {
    /// It takes parts.
    Pending,
    /// It is a file.
    Completed,
    /// Its owner gave it up.
    Cancelled,
    /// Nobody completed it in time.
    Expired,
}

impl UploadStatus {
    /// The word of the API and of the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Completed, Self::Cancelled, Self::Expired].into_iter().find(|one| one.as_str() == word)
    }
}

/// A recorded upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// Its id.
    pub id: UploadId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What its parts have to add up to.
    pub bytes: i64,
    /// As the client names it.
    pub filename: String,
    /// As OpenAI's `purpose`.
    pub purpose: String,
    /// As the client says.
    pub mime_type: String,
    /// How long the file is kept, in seconds; `None` = for ever.
    pub file_ttl_secs: Option<i64>,
    /// Where it is in its life; one whose time is over has expired, noted or not.
    pub status: UploadStatus,
    /// Milliseconds.
    pub created_at_ms: i64,
    /// Milliseconds.
    pub expires_at_ms: i64,
    /// What it was completed with, or is being completed with.
    pub request_sha256: Option<String>,
    /// What it has become.
    pub file: Option<FileId>,
}

/// The right to complete an upload.
#[derive(Debug, Clone)]
pub struct Completion {
    /// Which.
    pub upload: UploadId,
    /// A new text for each try.
    pub owner: String,
    /// Of the parts and the checksum that it is completed with.
    pub request_sha256: String,
}

/// The columns of a row, with the status that it has now.
pub(crate) const SHOWN: &str = "u.*, CASE WHEN u.status = 'pending' AND u.expires_at_ms <= now_ms() \
     AND (u.owner IS NULL OR u.lease_until_ms <= now_ms()) THEN 'expired' ELSE u.status END AS shown_status";

impl Store {
    /// Makes an upload, unless its tenant has `most` that take parts. `None`: it has.
    pub async fn insert_upload(&self, new: &NewUpload, most: i64) -> Result<Option<UploadRow>> {
        let made = self
            .sql(
                "INSERT INTO uploads (id, tenant_id, bytes, filename, purpose, mime_type, file_ttl_secs, status, \
                 created_at_ms, expires_at_ms) SELECT $1, $2, $3, $4, $5, $6, $7, 'pending', now_ms(), now_ms() + $8 \
                 WHERE (SELECT COUNT(*) FROM uploads WHERE tenant_id = $2 AND status = 'pending' \
                 AND expires_at_ms > now_ms()) < $9",
            )
            .bind(new.id.as_str().to_owned())
            .bind(new.tenant.as_str().to_owned())
            .bind(new.bytes)
            .bind(new.filename.clone())
            .bind(new.purpose.clone())
            .bind(new.mime_type.clone())
            .bind(new.file_ttl_secs)
            .bind(new.ttl_ms)
            .bind(most);
        if !self.changed(made).await? {
            return Ok(None);
        }
        self.upload(&new.tenant, &new.id).await
    }

    /// A tenant's upload.
    pub async fn upload(&self, tenant: &TenantId, id: &UploadId) -> Result<Option<UploadRow>> {
        let row = self
            .sql(&format!("SELECT {SHOWN} FROM uploads u WHERE id = $1 AND tenant_id = $2"))
            .bind(id.as_str().to_owned())
            .bind(tenant.as_str().to_owned())
            .fetch_optional(self.writer())
            .await
            .map_err(db)?;
        row.as_ref().map(upload_row).transpose()
    }

    /// Gives an upload up, if it takes parts. `false`: it does not.
    pub async fn cancel_upload(&self, tenant: &TenantId, id: &UploadId) -> Result<bool> {
        let statement = self
            .sql(
                "UPDATE uploads SET status = 'cancelled', ended_at_ms = now_ms() \
                 WHERE id = $1 AND tenant_id = $2 AND status = 'pending' AND expires_at_ms > now_ms()",
            )
            .bind(id.as_str().to_owned())
            .bind(tenant.as_str().to_owned());
        self.changed(statement).await
    }

    /// Takes the right to complete an upload for `lease_ms`. `false`: somebody else has it, or it takes no parts.
    pub async fn begin_completion(&self, completion: &Completion, lease_ms: i64) -> Result<bool> {
        let statement = self
            .sql(
                "UPDATE uploads SET owner = $2, request_sha256 = $3, lease_until_ms = now_ms() + $4 WHERE id = $1 \
                 AND status = 'pending' AND expires_at_ms > now_ms() AND (owner IS NULL OR lease_until_ms <= now_ms())",
            )
            .bind(completion.upload.as_str().to_owned())
            .bind(completion.owner.clone())
            .bind(completion.request_sha256.clone())
            .bind(lease_ms);
        self.changed(statement).await
    }

    /// Keeps the right for another `lease_ms`. `false`: it is lost.
    pub async fn renew_completion(&self, completion: &Completion, lease_ms: i64) -> Result<bool> {
        let statement = self
            .sql(
                "UPDATE uploads SET lease_until_ms = now_ms() + $3 WHERE id = $1 AND owner = $2 AND status = 'pending'",
            )
            .bind(completion.upload.as_str().to_owned())
            .bind(completion.owner.clone())
            .bind(lease_ms);
        self.changed(statement).await
    }

    /// Gives the right back: the upload takes parts again.
    pub async fn release_completion(&self, completion: &Completion) -> Result<bool> {
        let statement = self
            .sql(
                "UPDATE uploads SET owner = NULL, request_sha256 = NULL, lease_until_ms = 0 \
                 WHERE id = $1 AND owner = $2 AND status = 'pending'",
            )
            .bind(completion.upload.as_str().to_owned())
            .bind(completion.owner.clone());
        self.changed(statement).await
    }

    /// Makes the file of an upload, and ends the upload with it. `None`: the right was lost, and there is no file.
    pub async fn finish_upload(&self, completion: &Completion, file: &NewFile) -> Result<Option<FileRow>> {
        let mut tx = self.begin().await?;
        let ended = self
            .sql(
                "UPDATE uploads SET status = 'completed', file_id = $3, ended_at_ms = now_ms() \
                 WHERE id = $1 AND owner = $2 AND status = 'pending'",
            )
            .bind(completion.upload.as_str().to_owned())
            .bind(completion.owner.clone())
            .bind(file.id.as_str().to_owned())
            .execute(&mut *tx)
            .await
            .map_err(db)?;
        if ended.rows_affected() == 0 {
            return Ok(None);
        }
        let row = self.insert_file_sql(file).fetch_one(&mut *tx).await.map_err(db)?;
        tx.commit().await.map_err(db)?;
        file_row(&row).map(Some)
    }

    /// Notes which uploads have expired.
    pub async fn expire_uploads(&self) -> Result<bool> {
        let statement = self.sql(
            "UPDATE uploads SET status = 'expired', ended_at_ms = now_ms() WHERE cleared_at_ms IS NULL \
             AND status = 'pending' AND expires_at_ms <= now_ms() AND (owner IS NULL OR lease_until_ms <= now_ms())",
        );
        self.changed(statement).await
    }

    /// Uploads that ended more than `age_ms` ago, whose parts are still there. The age must exceed the time that storing a part
    /// may take.
    pub async fn uncleared_uploads(&self, age_ms: i64, limit: i64) -> Result<Vec<UploadId>> {
        let rows = self
            .sql("SELECT id FROM uploads WHERE cleared_at_ms IS NULL AND ended_at_ms <= now_ms() - $1 LIMIT $2")
            .bind(age_ms)
            .bind(limit)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        rows.iter().map(|row| Columns(row).text("id").map(UploadId::from_string)).collect()
    }

    /// Notes that the parts of an upload are gone, and forgets them.
    pub async fn mark_upload_cleared(&self, id: &UploadId) -> Result<()> {
        let mut tx = self.begin().await?;
        for sql in [
            "DELETE FROM upload_parts WHERE upload_id = $1",
            "UPDATE uploads SET cleared_at_ms = now_ms() WHERE id = $1",
        ] {
            self.sql(sql).bind(id.as_str().to_owned()).execute(&mut *tx).await.map_err(db)?;
        }
        tx.commit().await.map_err(db)
    }
}

fn upload_row(row: &AnyRow) -> Result<UploadRow> {
    let columns = Columns(row);
    Ok(UploadRow {
        id: UploadId::from_string(columns.text("id")?),
        tenant: TenantId::from_string(columns.text("tenant_id")?),
        bytes: columns.int("bytes")?,
        filename: columns.text("filename")?,
        purpose: columns.text("purpose")?,
        mime_type: columns.text("mime_type")?,
        file_ttl_secs: columns.opt_int("file_ttl_secs")?,
        status: columns.word("shown_status", UploadStatus::parse)?,
        created_at_ms: columns.int("created_at_ms")?,
        expires_at_ms: columns.int("expires_at_ms")?,
        request_sha256: columns.opt_text("request_sha256")?,
        file: columns.opt_text("file_id")?.map(FileId::from_string),
    })
}
