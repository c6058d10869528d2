//! Who changed what. A record is written in the transaction of its change: there is never one without the other.
//! Whoever writes one keeps secrets and their hashes out of it.

use crate::{
    Store,
    row::{Columns, db},
};
use domain::{AuditId, Error, RequestId, Result, TenantId};
use serde_json::Value;
use sqlx::{Any, Transaction, any::AnyRow};

/// Who makes a change, and in which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// A key's id, a principal, or `cli`.
    pub actor: String,
    /// The request that changes it, if one does.
    pub request_id: Option<RequestId>,
}

/// A change to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// A key's id, a principal, or `cli`.
    pub actor: String,
    /// The request that changed it, if one did.
    pub request_id: Option<RequestId>,
    /// What was done, as `limit.patch`.
    pub action: &'static str,
    /// The id of what was changed.
    pub target: String,
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// What it was; none = it is new.
    pub before: Option<Value>,
    /// What it is; none = it is gone.
    pub after: Option<Value>,
}

/// A recorded change.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its id.
    pub id: AuditId,
    /// Milliseconds.
    pub at_ms: i64,
    /// A key's id, a principal, or `cli`.
    pub actor: String,
    /// The request that changed it, if one did.
    pub request_id: Option<RequestId>,
    /// What was done.
    pub action: String,
    /// The id of what was changed.
    pub target: String,
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// What it was.
    pub before: Option<Value>,
    /// What it is.
    pub after: Option<Value>,
}

/// Which changes are asked for.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Of what belongs to this tenant.
    pub tenant: Option<TenantId>,
    /// Of the thing with this id.
    pub target: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
}

impl Author {
    /// Whoever works at the command line, beside the API.
    #[must_use]
    pub fn cli() -> Self {
        Self { actor: "cli".to_owned(), request_id: None }
    }

    /// An entry of this author, without before and after.
    #[must_use]
    pub fn did(&self, action: &'static str, target: &str, tenant: Option<&TenantId>) -> AuditEntry {
        AuditEntry {
            actor: self.actor.clone(),
            request_id: self.request_id.clone(),
            action,
            target: target.to_owned(),
            tenant: tenant.cloned(),
            before: None,
            after: None,
        }
    }
}

impl Store {
    /// Records a change inside its transaction.
    pub(crate) async fn audit(&self, tx: &mut Transaction<'static, Any>, entry: &AuditEntry) -> Result<()> {
        self.sql(
            "INSERT INTO audit_records (id, at_ms, actor, request_id, action, target, tenant_id, before_json, after_json) \
             VALUES ($1, now_ms(), $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(AuditId::generate().as_str())
        .bind(entry.actor.as_str())
        .bind(entry.request_id.as_ref().map(RequestId::as_str))
        .bind(entry.action)
        .bind(entry.target.as_str())
        .bind(entry.tenant.as_ref().map(TenantId::as_str))
        .bind(entry.before.as_ref().map(Value::to_string))
        .bind(entry.after.as_ref().map(Value::to_string))
        .execute(&mut **tx)
        .await
        .map_err(db)?;
        Ok(())
    }

    /// A page of changes, newest first, and whether there are more.
    pub async fn list_audit(
        &self,
        query: &AuditQuery,
        after: Option<&AuditId>,
        limit: i64,
    ) -> Result<(Vec<AuditRow>, bool)> {
        let filters = [
            ("tenant_id", query.tenant.as_ref().map(TenantId::as_str)),
            ("target", query.target.as_deref()),
            ("actor", query.actor.as_deref()),
        ];
        self.newest("SELECT * FROM audit_records", &filters, (after.map(AuditId::as_str), limit), audit_row).await
    }
}

fn audit_row(row: &AnyRow) -> Result<AuditRow> {
    let columns = Columns(row);
    let json = |name| {
        let text = columns.opt_text(name)?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(Error::internal)
    };
    Ok(AuditRow {
        id: AuditId::from_string(columns.text("id")?),
        at_ms: columns.int("at_ms")?,
        actor: columns.text("actor")?,
        request_id: columns.opt_text("request_id")?.map(RequestId::from_string),
        action: columns.text("action")?,
        target: columns.text("target")?,
        tenant: columns.opt_text("tenant_id")?.map(TenantId::from_string),
        before: json("before_json")?,
        after: json("after_json")?,
    })
}
