//! Changes of keys that an operator makes, each in one transaction with its record. A record holds nothing of a secret, not even
//! its beginning.

use super::{ApiKey, KeyPatch, NewKey, api_key, secret::Secret};
use crate::{AuditEntry, Author, Store, row::db, store::Sql};
use domain::{KeyId, ModelAccess, Result, TenantId};
use serde_json::{Value, json};
use sqlx::{Any, Transaction};
use std::time::Duration;

type Tx = Transaction<'static, Any>;

impl Store {
    /// As [`Store::create_key`], recorded.
    pub async fn create_key_by(&self, author: &Author, tenant: &TenantId, new: &NewKey) -> Result<(ApiKey, String)> {
        let secret = Secret::generate(&new.environment)?;
        let mut tx = self.begin().await?;
        let row = self.insert_key_sql(tenant, new, &secret)?.fetch_one(&mut *tx).await.map_err(db)?;
        let key = api_key(&row)?;
        self.record_key(tx, author, "key.create", None, Some(&key)).await?;
        Ok((key, secret.into_text()))
    }

    /// As [`Store::patch_key`], recorded. `judge` sees the key as it is and as it becomes, and may refuse.
    pub async fn patch_key_by(
        &self,
        author: &Author,
        id: &KeyId,
        patch: &KeyPatch,
        judge: impl Fn(&ApiKey, &ApiKey) -> Result<()> + Send + Sync,
    ) -> Result<Option<ApiKey>> {
        let statement = self.patch_key_sql(id, patch)?;
        self.change_key_by(author, "key.patch", id, statement, judge).await
    }

    /// As [`Store::rotate_key`], recorded. `judge` sees the key first, and may refuse.
    pub async fn rotate_key_by(
        &self,
        author: &Author,
        id: &KeyId,
        (environment, overlap): (&str, Duration),
        judge: impl Fn(&ApiKey) -> Result<()> + Send + Sync,
    ) -> Result<Option<(ApiKey, String)>> {
        let secret = Secret::generate(environment)?;
        let statement = self.rotate_key_sql(id, &secret, overlap);
        let judge = |before: &ApiKey, _: &ApiKey| judge(before);
        let key = self.change_key_by(author, "key.rotate", id, statement, judge).await?;
        Ok(key.map(|key| (key, secret.into_text())))
    }

    /// As [`Store::revoke_key`], recorded.
    pub async fn revoke_key_by(&self, author: &Author, id: &KeyId) -> Result<bool> {
        let mut tx = self.begin().await?;
        let Some(before) = self.lock_key(&mut tx, id).await? else { return Ok(false) };
        if self.revoke_key_sql(id).execute(&mut *tx).await.map_err(db)?.rows_affected() == 0 {
            return Ok(false);
        }
        self.record_key(tx, author, "key.revoke", Some(&before), None).await?;
        Ok(true)
    }

    async fn change_key_by(
        &self,
        author: &Author,
        action: &'static str,
        id: &KeyId,
        statement: Sql,
        judge: impl Fn(&ApiKey, &ApiKey) -> Result<()> + Send + Sync,
    ) -> Result<Option<ApiKey>> {
        let mut tx = self.begin().await?;
        let Some(before) = self.lock_key(&mut tx, id).await? else { return Ok(None) };
        let Some(row) = statement.fetch_optional(&mut *tx).await.map_err(db)? else { return Ok(None) };
        let after = api_key(&row)?;
        judge(&before, &after)?;
        self.record_key(tx, author, action, Some(&before), Some(&after)).await?;
        Ok(Some(after))
    }

    async fn lock_key(&self, tx: &mut Tx, id: &KeyId) -> Result<Option<ApiKey>> {
        let statement = self.sql("SELECT * FROM keys WHERE id = $1 FOR UPDATE").bind(id.as_str().to_owned());
        statement.fetch_optional(&mut **tx).await.map_err(db)?.as_ref().map(api_key).transpose()
    }

    async fn record_key(
        &self,
        mut tx: Tx,
        author: &Author,
        action: &'static str,
        before: Option<&ApiKey>,
        after: Option<&ApiKey>,
    ) -> Result<()> {
        let Some(key) = after.or(before) else { return Ok(()) };
        let done = author.did(action, key.id.as_str(), Some(&key.tenant));
        self.audit(&mut tx, &AuditEntry { before: before.map(told), after: after.map(told), ..done }).await?;
        tx.commit().await.map_err(db)
    }
}

fn told(key: &ApiKey) -> Value {
    let models = match &key.models {
        ModelAccess::All => None,
        ModelAccess::Only(names) => Some(names),
    };
    json!({
        "name": key.name,
        "scopes": key.scopes.to_string(),
        "models": models,
        "note": key.note,
        "expires_at_ms": key.expires_at_ms,
        "old_secret_until_ms": key.old_until_ms,
    })
}
