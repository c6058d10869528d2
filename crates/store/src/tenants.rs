//! Tenants as operators see and change them. Every change is recorded in its own transaction.

use crate::{
    AuditEntry, Author, Store,
    row::{Columns, db},
};
use domain::{Error, Kind, Result, TenantId};
use serde_json::{Value, json};
use sqlx::{Any, Transaction, any::AnyRow};

/// What may belong to a tenant, with the words for it. Its ledger counts: a bill must name who pays it.
const BELONGINGS: [(&str, &str); 6] = [
    ("keys", "keys"),
    ("limits", "limits"),
    ("files", "files"),
    ("batches", "batches"),
    ("webhook_endpoints", "webhooks"),
    ("usage_records", "usage records"),
];

/// A tenant with everything an operator may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRow {
    /// Its id.
    pub id: TenantId,
    /// Its name, unique.
    pub name: String,
    /// What its operators want to remember.
    pub note: String,
    /// Milliseconds.
    pub created_at_ms: i64,
    /// Milliseconds; its keys don't work since then.
    pub disabled_at_ms: Option<i64>,
    /// Its part of the batch workers, relative to the others'.
    pub batch_weight: i64,
    /// Its shards at work at once; none = as the workers are set.
    pub batch_shards: Option<i64>,
}

/// What is to become of a tenant; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantPatch {
    /// Another name.
    pub name: Option<String>,
    /// Another note.
    pub note: Option<String>,
    /// Whether its keys are to be refused.
    pub is_disabled: Option<bool>,
    /// Another part of the batch workers, 1 to 1,000.
    pub batch_weight: Option<i64>,
    /// Another number of shards at work at once, or as the workers are set.
    pub batch_shards: Option<Option<i64>>,
}

impl Store {
    /// A page of tenants, newest first, and whether there are more.
    pub async fn list_tenants(&self, after: Option<&TenantId>, limit: i64) -> Result<(Vec<TenantRow>, bool)> {
        let page = (after.map(TenantId::as_str), limit);
        self.newest("SELECT * FROM tenants", &[], page, tenant_row).await
    }

    /// The tenant of that id.
    pub async fn tenant(&self, id: &TenantId) -> Result<Option<TenantRow>> {
        let row = self.sql("SELECT * FROM tenants WHERE id = $1").bind(id.as_str()).fetch_optional(self.reader()).await;
        row.map_err(db)?.as_ref().map(tenant_row).transpose()
    }

    /// A new tenant; Conflict when the name is taken.
    pub async fn add_tenant(&self, author: &Author, name: &str, note: &str) -> Result<TenantRow> {
        let mut tx = self.begin().await?;
        let row = self
            .sql("INSERT INTO tenants (id, name, note, created_at_ms) VALUES ($1, $2, $3, now_ms()) RETURNING *")
            .bind(TenantId::generate().as_str())
            .bind(name)
            .bind(note)
            .fetch_one(&mut *tx)
            .await
            .map_err(db)?;
        let tenant = tenant_row(&row)?;
        let done = author.did("tenant.create", tenant.id.as_str(), Some(&tenant.id));
        self.audit(&mut tx, &AuditEntry { after: Some(told(&tenant)), ..done }).await?;
        tx.commit().await.map_err(db)?;
        Ok(tenant)
    }

    /// Changes a tenant. `None`: there is none of that id. Conflict when the name is taken.
    pub async fn patch_tenant(&self, author: &Author, id: &TenantId, patch: &TenantPatch) -> Result<Option<TenantRow>> {
        let mut tx = self.begin().await?;
        let Some(before) = self.lock_tenant(&mut tx, id).await? else { return Ok(None) };
        let row = self
            .sql(
                "UPDATE tenants SET name = COALESCE($2, name), note = COALESCE($3, note), disabled_at_ms = \
                 CASE WHEN $4 = 1 THEN COALESCE(disabled_at_ms, now_ms()) WHEN $4 = 0 THEN NULL ELSE disabled_at_ms END, \
                 batch_weight = COALESCE($5, batch_weight), batch_shards = CASE WHEN $6 = 1 THEN $7 ELSE batch_shards END \
                 WHERE id = $1 RETURNING *",
            )
            .bind(id.as_str())
            .bind(patch.name.as_deref())
            .bind(patch.note.as_deref())
            .bind(patch.is_disabled.map_or(2_i64, i64::from))
            .bind(patch.batch_weight)
            .bind(i64::from(patch.batch_shards.is_some()))
            .bind(patch.batch_shards.flatten())
            .fetch_one(&mut *tx)
            .await
            .map_err(db)?;
        let tenant = tenant_row(&row)?;
        let done = author.did("tenant.patch", id.as_str(), Some(id));
        let entry = AuditEntry { before: Some(told(&before)), after: Some(told(&tenant)), ..done };
        self.audit(&mut tx, &entry).await?;
        tx.commit().await.map_err(db)?;
        Ok(Some(tenant))
    }

    /// Deletes a tenant to whom nothing belongs; Conflict otherwise. `None`: there is none of that id.
    pub async fn delete_tenant(&self, author: &Author, id: &TenantId) -> Result<Option<TenantRow>> {
        let mut tx = self.begin().await?;
        // The lock keeps new belongings out: their foreign keys wait for it.
        let Some(before) = self.lock_tenant(&mut tx, id).await? else { return Ok(None) };
        self.require_nothing(&mut tx, id).await?;
        self.sql("DELETE FROM tenants WHERE id = $1").bind(id.as_str()).execute(&mut *tx).await.map_err(db)?;
        let done = author.did("tenant.delete", id.as_str(), Some(id));
        self.audit(&mut tx, &AuditEntry { before: Some(told(&before)), ..done }).await?;
        tx.commit().await.map_err(db)?;
        Ok(Some(before))
    }

    async fn require_nothing(&self, tx: &mut Transaction<'static, Any>, id: &TenantId) -> Result<()> {
        for (table, words) in BELONGINGS {
            let row = self
                .sql(&format!("SELECT 1 AS found FROM {table} WHERE tenant_id = $1 LIMIT 1"))
                .bind(id.as_str())
                .fetch_optional(&mut **tx)
                .await
                .map_err(db)?;
            if row.is_some() {
                let text = format!("The tenant {id} has {words} and can't be deleted; disable it instead.");
                return Err(Error::new(Kind::Conflict, text).with_code("tenant_in_use"));
            }
        }
        Ok(())
    }

    pub(crate) async fn lock_tenant(
        &self,
        tx: &mut Transaction<'static, Any>,
        id: &TenantId,
    ) -> Result<Option<TenantRow>> {
        let row = self
            .sql("SELECT * FROM tenants WHERE id = $1 FOR UPDATE")
            .bind(id.as_str())
            .fetch_optional(&mut **tx)
            .await
            .map_err(db)?;
        row.as_ref().map(tenant_row).transpose()
    }
}

fn told(tenant: &TenantRow) -> Value {
    json!({
        "name": tenant.name,
        "note": tenant.note,
        "disabled": tenant.disabled_at_ms.is_some(),
        "batch_weight": tenant.batch_weight,
        "batch_shards": tenant.batch_shards,
    })
}

fn tenant_row(row: &AnyRow) -> Result<TenantRow> {
    let columns = Columns(row);
    Ok(TenantRow {
        id: TenantId::from_string(columns.text("id")?),
        name: columns.text("name")?,
        note: columns.text("note")?,
        created_at_ms: columns.int("created_at_ms")?,
        disabled_at_ms: columns.opt_int("disabled_at_ms")?,
        batch_weight: columns.int("batch_weight")?,
        batch_shards: columns.opt_int("batch_shards")?,
    })
}
