//! Limits as operators see and change them. Every change is recorded in its own transaction.

use crate::{
    AuditEntry, Author, Store,
    row::{Columns, db},
};
use domain::{Error, Kind, Limit, LimitId, LimitKind, Result, SubjectKind, TenantId};
use serde_json::{Value, json};
use sqlx::{Any, Transaction, any::AnyRow};

/// The largest rate: a thousand billion a minute is no limit; enqueued tokens have the same.
const MAX_RATE: i64 = 1_000_000_000_000;
const MAX_CONCURRENT: i64 = 1_000_000;
/// The largest budget: a thousand million dollars, in nano-USD.
const MAX_NANOS: i64 = 1_000_000_000_000_000_000;

/// A limit and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRow {
    /// The limit.
    pub limit: Limit,
    /// Milliseconds.
    pub created_at_ms: i64,
}

impl Store {
    /// A page of limits, newest first, of one tenant or of all, and whether there are more.
    pub async fn list_limits(
        &self,
        tenant: Option<&TenantId>,
        after: Option<&LimitId>,
        limit: i64,
    ) -> Result<(Vec<LimitRow>, bool)> {
        let filters = [("tenant_id", tenant.map(TenantId::as_str))];
        self.newest("SELECT * FROM limits", &filters, (after.map(LimitId::as_str), limit), limit_row).await
    }

    /// The limit of that id.
    pub async fn limit(&self, id: &LimitId) -> Result<Option<LimitRow>> {
        let row = self.sql("SELECT * FROM limits WHERE id = $1").bind(id.as_str()).fetch_optional(self.reader()).await;
        row.map_err(db)?.as_ref().map(limit_row).transpose()
    }

    /// A new limit. Its subject must belong to its tenant; Conflict when there is one of the kind for it already.
    pub async fn create_limit(&self, author: &Author, limit: &Limit) -> Result<LimitRow> {
        judge(limit.kind, limit.amount)?;
        if limit.kind == LimitKind::EnqueuedTokens && limit.subject_kind != SubjectKind::Tenant {
            let text = "A limit of kind `enqueued_tokens` binds a tenant, not a key or principal.";
            return Err(Error::invalid(text).with_param("subject_kind").with_code("invalid_value"));
        }
        let mut tx = self.begin().await?;
        self.require_subject(&mut tx, limit).await?;
        let row = self
            .sql(
                "INSERT INTO limits (id, tenant_id, subject_kind, subject, model, kind, amount, created_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, now_ms()) \
                 ON CONFLICT (tenant_id, subject_kind, subject, model, kind) DO NOTHING RETURNING *",
            )
            .bind(limit.id.as_str())
            .bind(limit.tenant.as_str())
            .bind(limit.subject_kind.as_str())
            .bind(limit.subject.as_str())
            .bind(limit.model.as_deref().unwrap_or_default())
            .bind(limit.kind.as_str())
            .bind(limit.amount)
            .fetch_optional(&mut *tx)
            .await
            .map_err(db)?;
        let made = limit_row(&row.ok_or_else(|| taken(limit))?)?;
        let done = author.did("limit.create", limit.id.as_str(), Some(&limit.tenant));
        self.audit(&mut tx, &AuditEntry { after: Some(told(&made.limit)), ..done }).await?;
        tx.commit().await.map_err(db)?;
        Ok(made)
    }

    /// Gives a limit another amount. `None`: there is none of that id.
    pub async fn patch_limit(&self, author: &Author, id: &LimitId, amount: i64) -> Result<Option<LimitRow>> {
        let mut tx = self.begin().await?;
        let Some(before) = self.lock_limit(&mut tx, id).await? else { return Ok(None) };
        judge(before.limit.kind, amount)?;
        let row = self
            .sql("UPDATE limits SET amount = $2 WHERE id = $1 RETURNING *")
            .bind(id.as_str())
            .bind(amount)
            .fetch_one(&mut *tx)
            .await
            .map_err(db)?;
        let after = limit_row(&row)?;
        let done = author.did("limit.patch", id.as_str(), Some(&before.limit.tenant));
        let entry = AuditEntry { before: Some(told(&before.limit)), after: Some(told(&after.limit)), ..done };
        self.audit(&mut tx, &entry).await?;
        tx.commit().await.map_err(db)?;
        Ok(Some(after))
    }

    /// Deletes a limit and what is known of its use. `None`: there is none of that id.
    pub async fn delete_limit(&self, author: &Author, id: &LimitId) -> Result<Option<LimitRow>> {
        let mut tx = self.begin().await?;
        let Some(before) = self.lock_limit(&mut tx, id).await? else { return Ok(None) };
        self.sql("DELETE FROM limits WHERE id = $1").bind(id.as_str()).execute(&mut *tx).await.map_err(db)?;
        let done = author.did("limit.delete", id.as_str(), Some(&before.limit.tenant));
        self.audit(&mut tx, &AuditEntry { before: Some(told(&before.limit)), ..done }).await?;
        tx.commit().await.map_err(db)?;
        Ok(Some(before))
    }

    async fn lock_limit(&self, tx: &mut Transaction<'static, Any>, id: &LimitId) -> Result<Option<LimitRow>> {
        let row = self
            .sql("SELECT * FROM limits WHERE id = $1 FOR UPDATE")
            .bind(id.as_str())
            .fetch_optional(&mut **tx)
            .await
            .map_err(db)?;
        row.as_ref().map(limit_row).transpose()
    }

    /// Principals live at their issuer: any name may be one.
    async fn require_subject(&self, tx: &mut Transaction<'static, Any>, limit: &Limit) -> Result<()> {
        let Limit { tenant, subject, .. } = limit;
        if self.lock_tenant(tx, tenant).await?.is_none() {
            return Err(Error::not_found(format!("There is no tenant {tenant}.")).with_param("tenant_id"));
        }
        let is_there = match limit.subject_kind {
            SubjectKind::Tenant => subject == tenant.as_str(),
            SubjectKind::Principal => true,
            SubjectKind::Key => {
                let key = self.sql("SELECT id FROM keys WHERE id = $1 AND tenant_id = $2");
                let key = key.bind(subject.as_str()).bind(tenant.as_str()).fetch_optional(&mut **tx).await;
                key.map_err(db)?.is_some()
            }
        };
        if is_there {
            return Ok(());
        }
        let text = format!("The {} {subject} does not belong to the tenant {tenant}.", limit.subject_kind.as_str());
        Err(Error::not_found(text).with_param("subject"))
    }
}

fn judge(kind: LimitKind, amount: i64) -> Result<()> {
    let (most, words) = match kind {
        LimitKind::ConcurrentRequests => (MAX_CONCURRENT, "1 to 1,000,000 requests"),
        kind if kind.is_budget() => (MAX_NANOS, "more than 0 and at most 1,000,000,000 US dollars"),
        _ => (MAX_RATE, "1 to 1,000,000,000,000"),
    };
    if (1..=most).contains(&amount) {
        return Ok(());
    }
    let text = format!("The `amount` of a limit of kind `{}` must be {words}.", kind.as_str());
    Err(Error::invalid(text).with_param("amount").with_code("invalid_value"))
}

fn taken(limit: &Limit) -> Error {
    let (kind, subject) = (limit.kind.as_str(), &limit.subject);
    let text = format!("There is a limit of kind `{kind}` for {subject} and this model already; change its amount.");
    Error::new(Kind::Conflict, text).with_code("limit_exists")
}

fn told(limit: &Limit) -> Value {
    json!({
        "subject_kind": limit.subject_kind.as_str(),
        "subject": limit.subject,
        "model": limit.model,
        "kind": limit.kind.as_str(),
        "amount": limit.amount,
    })
}

fn limit_row(row: &AnyRow) -> Result<LimitRow> {
    let limit = crate::limits::limit(row)?;
    Ok(LimitRow { limit, created_at_ms: Columns(row).int("created_at_ms")? })
}
