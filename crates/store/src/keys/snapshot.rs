//! What a gateway keeps in memory of keys and tenants, and what it writes back.

use super::{Tenant, models, scopes};
use crate::{
    Store,
    dialect::Dialect,
    row::{Columns, db},
};
use domain::{Error, KeyId, ModelAccess, Result, Scopes, TenantId};
use serde_json::json;
use sqlx::any::AnyRow;

/// A secret as the gateway checks it. A key that is being rotated has two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its public name.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
    /// Which models it may ask.
    pub models: ModelAccess,
    /// Milliseconds; this secret works until then.
    pub expires_at_ms: Option<i64>,
    /// SHA-256 of the secret's text.
    pub secret_sha256: [u8; 32],
}

impl Store {
    /// Every secret that works now, for the gateway's snapshot: of keys neither revoked nor expired whose tenant is not
    /// disabled.
    pub async fn active_keys(&self) -> Result<Vec<KeyRecord>> {
        let rows = self
            .sql(
                "SELECT k.*, CASE WHEN k.old_until_ms > now_ms() THEN 1 ELSE 0 END AS has_old \
                 FROM keys k JOIN tenants t ON t.id = k.tenant_id \
                 WHERE k.revoked_at_ms IS NULL AND (k.expires_at_ms IS NULL OR k.expires_at_ms > now_ms()) \
                 AND t.disabled_at_ms IS NULL",
            )
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            records.push(current(row)?);
            if Columns(row).int("has_old")? == 1 {
                records.push(former(row)?);
            }
        }
        Ok(records)
    }

    /// Every tenant that is not disabled.
    pub async fn active_tenants(&self) -> Result<Vec<Tenant>> {
        let rows = self.sql("SELECT id, name FROM tenants WHERE disabled_at_ms IS NULL").fetch_all(self.reader()).await;
        let tenant = |row: &AnyRow| {
            let columns = Columns(row);
            Ok(Tenant { id: TenantId::from_string(columns.text("id")?), name: columns.text("name")? })
        };
        rows.map_err(db)?.iter().map(tenant).collect()
    }

    /// Notes when keys were last used, in milliseconds. A time before the noted one changes nothing.
    pub async fn note_key_uses(&self, uses: &[(KeyId, i64)]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        let list = match self.dialect() {
            Dialect::Postgres => {
                "SELECT u ->> 'id' AS id, CAST(u ->> 'at' AS BIGINT) AS at_ms \
                                  FROM json_array_elements(CAST($1 AS JSON)) AS u"
            }
            Dialect::Sqlite => "SELECT value ->> 'id' AS id, value ->> 'at' AS at_ms FROM json_each($1)",
        };
        let json: Vec<_> = uses.iter().map(|(id, at_ms)| json!({"id": id, "at": at_ms})).collect();
        self.sql(&format!(
            "UPDATE keys SET last_used_at_ms = seen.at_ms FROM ({list}) AS seen WHERE keys.id = seen.id \
             AND (keys.last_used_at_ms IS NULL OR keys.last_used_at_ms < seen.at_ms)"
        ))
        .bind(serde_json::to_string(&json).map_err(Error::internal)?)
        .execute(self.writer())
        .await
        .map_err(db)?;
        Ok(())
    }
}

fn current(row: &AnyRow) -> Result<KeyRecord> {
    let columns = Columns(row);
    Ok(KeyRecord {
        id: KeyId::from_string(columns.text("id")?),
        tenant: TenantId::from_string(columns.text("tenant_id")?),
        scopes: scopes(&columns)?,
        models: models(&columns)?,
        expires_at_ms: columns.opt_int("expires_at_ms")?,
        secret_sha256: sha256(columns.blob("secret_sha256")?)?,
    })
}

/// The same key by the secret that it had before its last rotation.
fn former(row: &AnyRow) -> Result<KeyRecord> {
    let columns = Columns(row);
    let ends = [columns.opt_int("old_until_ms")?, columns.opt_int("expires_at_ms")?];
    Ok(KeyRecord {
        expires_at_ms: ends.into_iter().flatten().min(),
        secret_sha256: sha256(columns.blob("old_sha256")?)?,
        ..current(row)?
    })
}

fn sha256(bytes: Vec<u8>) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| Error::internal("a key's hash is not 32 bytes long"))
}
