//! Uploaded and produced files: the row, never the bytes. Deleting hides a file; its blob goes later, when no
//! running batch reads it any more.

use crate::{
    FileIndex, Store,
    paging::page,
    row::{Columns, db},
    store::Sql,
};
use domain::{Error, FileId, Result, TenantId};
use sqlx::any::AnyRow;

/// A file to be recorded; its blob exists already.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// A new id.
    pub id: FileId,
    /// Whose it is.
    pub tenant: TenantId,
    /// As OpenAI's `purpose`.
    pub purpose: String,
    /// As the client named it.
    pub filename: String,
    /// How long.
    pub bytes: i64,
    /// Where its bytes are.
    pub blob: String,
    /// CRC-32C of its bytes, where it is known.
    pub crc32c: Option<u32>,
    /// JSON of [`crate::FileIndex`], for batch inputs.
    pub index: Option<String>,
    /// Milliseconds; `None` keeps it for ever.
    pub expires_at_ms: Option<i64>,
}

impl NewFile {
    /// A batch input of which `index` is known; kept for ever.
    pub fn of_lines(id: FileId, tenant: TenantId, filename: String, blob: String, index: &FileIndex) -> Result<Self> {
        Ok(Self {
            id,
            tenant,
            purpose: "batch".to_owned(),
            filename,
            bytes: i64::try_from(index.bytes).map_err(Error::internal)?,
            blob,
            crc32c: Some(index.crc32c),
            index: Some(serde_json::to_string(index).map_err(Error::internal)?),
            expires_at_ms: None,
        })
    }
}

/// A recorded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Its id.
    pub id: FileId,
    /// Whose it is.
    pub tenant: TenantId,
    /// As OpenAI's `purpose`.
    pub purpose: String,
    /// As the client named it.
    pub filename: String,
    /// How long.
    pub bytes: i64,
    /// Where its bytes are.
    pub blob: String,
    /// CRC-32C of its bytes, where it is known.
    pub crc32c: Option<u32>,
    /// JSON of [`crate::FileIndex`], for batch inputs.
    pub index: Option<String>,
    /// Milliseconds.
    pub created_at_ms: i64,
    /// Milliseconds; `None` keeps it for ever.
    pub expires_at_ms: Option<i64>,
}

/// A deleted or expired file whose bytes nobody reads any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadBlob {
    /// For [`Store::mark_purged`].
    pub file: FileId,
    /// Where its bytes are.
    pub blob: String,
    /// JSON of its [`crate::FileIndex`], which names a second blob.
    pub index: Option<String>,
}

const VISIBLE: &str = "deleted_at_ms IS NULL AND (expires_at_ms IS NULL OR expires_at_ms > now_ms())";

impl Store {
    /// Records a file.
    pub async fn insert_file(&self, file: &NewFile) -> Result<FileRow> {
        let row = self.insert_file_sql(file).fetch_one(self.writer()).await.map_err(db)?;
        file_row(&row)
    }

    pub(crate) fn insert_file_sql(&self, file: &NewFile) -> Sql {
        self.sql(
            "INSERT INTO files (id, tenant_id, purpose, filename, bytes, blob, index_json, expires_at_ms, crc32c, created_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now_ms()) RETURNING *",
        )
        .bind(file.id.as_str().to_owned())
        .bind(file.tenant.as_str().to_owned())
        .bind(file.purpose.clone())
        .bind(file.filename.clone())
        .bind(file.bytes)
        .bind(file.blob.clone())
        .bind(file.index.clone())
        .bind(file.expires_at_ms)
        .bind(file.crc32c.map(i64::from))
    }

    /// A tenant's file that is neither deleted nor expired.
    pub async fn file(&self, tenant: &TenantId, id: &FileId) -> Result<Option<FileRow>> {
        let row = self
            .sql(&format!("SELECT * FROM files WHERE id = $1 AND tenant_id = $2 AND {VISIBLE}"))
            .bind(id.as_str())
            .bind(tenant.as_str())
            .fetch_optional(self.reader())
            .await
            .map_err(db)?;
        row.as_ref().map(file_row).transpose()
    }

    /// The input of a batch, even when its owner has deleted it since.
    pub async fn input_file(&self, id: &FileId) -> Result<Option<FileRow>> {
        let row = self.sql("SELECT * FROM files WHERE id = $1").bind(id.as_str()).fetch_optional(self.reader()).await;
        row.map_err(db)?.as_ref().map(file_row).transpose()
    }

    /// A page of a tenant's files by (created, id), and whether there are more. An unknown `after` is a 400.
    pub async fn list_files(
        &self,
        tenant: &TenantId,
        purpose: Option<&str>,
        after: Option<&FileId>,
        limit: i64,
        desc: bool,
    ) -> Result<(Vec<FileRow>, bool)> {
        let (compare, order) = if desc { ("<", "DESC") } else { (">", "ASC") };
        let mut sql =
            format!("SELECT * FROM files WHERE tenant_id = $1 AND purpose = COALESCE($2, purpose) AND {VISIBLE}");
        let start = self.page_start("files", tenant, after.map(FileId::as_str), desc).await?;
        sql +=
            &format!(" AND (created_at_ms, id) {compare} ($3, $4) ORDER BY created_at_ms {order}, id {order} LIMIT $5");
        let rows = self
            .sql(&sql)
            .bind(tenant.as_str())
            .bind(purpose.map(str::to_owned))
            .bind(start.0)
            .bind(start.1)
            .bind(limit + 1)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        page(&rows, limit, file_row)
    }

    /// Hides a file for ever. `false` when there is no such file.
    pub async fn delete_file(&self, tenant: &TenantId, id: &FileId) -> Result<bool> {
        let statement = self.sql(
            "UPDATE files SET deleted_at_ms = now_ms() WHERE id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL \
             AND (expires_at_ms IS NULL OR expires_at_ms > now_ms())",
        );
        self.changed(statement.bind(id.as_str()).bind(tenant.as_str())).await
    }

    /// Blobs of deleted and expired files that no running batch reads.
    pub async fn unreferenced_blobs(&self, limit: i64) -> Result<Vec<DeadBlob>> {
        let rows = self
            .sql(
                "SELECT id, blob, index_json FROM files f WHERE purged_at_ms IS NULL \
                 AND (deleted_at_ms IS NOT NULL OR expires_at_ms <= now_ms()) \
                 AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.input_file_id = f.id \
                 AND b.status IN ('validating', 'in_progress', 'finalizing', 'cancelling')) LIMIT $1",
            )
            .bind(limit)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        let dead = |row: &AnyRow| {
            let columns = Columns(row);
            let file = FileId::from_string(columns.text("id")?);
            Ok(DeadBlob { file, blob: columns.text("blob")?, index: columns.opt_text("index_json")? })
        };
        rows.iter().map(dead).collect()
    }

    /// Notes that a dead file's blobs are gone.
    pub async fn mark_purged(&self, file: &FileId) -> Result<bool> {
        let statement = self.sql("UPDATE files SET purged_at_ms = now_ms() WHERE id = $1 AND purged_at_ms IS NULL");
        self.changed(statement.bind(file.as_str())).await
    }
}

pub(crate) fn file_row(row: &AnyRow) -> Result<FileRow> {
    let columns = Columns(row);
    Ok(FileRow {
        id: FileId::from_string(columns.text("id")?),
        tenant: TenantId::from_string(columns.text("tenant_id")?),
        purpose: columns.text("purpose")?,
        filename: columns.text("filename")?,
        bytes: columns.int("bytes")?,
        blob: columns.text("blob")?,
        crc32c: columns.opt_crc32c("crc32c")?,
        index: columns.opt_text("index_json")?,
        created_at_ms: columns.int("created_at_ms")?,
        expires_at_ms: columns.opt_int("expires_at_ms")?,
    })
}
