//! Tenants and their API keys. A secret is shown once; the table holds its SHA-256 only.

use crate::{
    Store,
    row::{Columns, db},
};
use domain::{Error, KeyId, Result, TenantId};
use rand::Rng;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;

/// A customer of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, unique.
    pub name: String,
}

/// A key as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public name.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What a person called it.
    pub name: String,
    /// Whether it opens the admin API.
    pub admin: bool,
    /// Milliseconds.
    pub created_at_ms: i64,
    /// Milliseconds; `None` while it works.
    pub revoked_at_ms: Option<i64>,
}

/// A key as the gateway checks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its public name.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Whether it opens the admin API.
    pub admin: bool,
    /// SHA-256 of the secret's text.
    pub secret_sha256: [u8; 32],
}

impl Store {
    /// A new tenant; Conflict when the name is taken.
    pub async fn create_tenant(&self, name: &str) -> Result<Tenant> {
        let id = TenantId::generate();
        self.sql("INSERT INTO tenants (id, name, created_at_ms) VALUES ($1, $2, now_ms())")
            .bind(id.as_str())
            .bind(name)
            .execute(self.writer())
            .await
            .map_err(db)?;
        Ok(Tenant { id, name: name.to_owned() })
    }

    /// The tenant of that name, made when missing.
    pub async fn ensure_tenant(&self, name: &str) -> Result<Tenant> {
        self.sql(
            "INSERT INTO tenants (id, name, created_at_ms) VALUES ($1, $2, now_ms()) ON CONFLICT (name) DO NOTHING",
        )
        .bind(TenantId::generate().as_str())
        .bind(name)
        .execute(self.writer())
        .await
        .map_err(db)?;
        let row = self.sql("SELECT id FROM tenants WHERE name = $1").bind(name).fetch_one(self.reader()).await;
        let id = Columns(&row.map_err(db)?).text("id")?;
        Ok(Tenant { id: TenantId::from_string(id), name: name.to_owned() })
    }

    /// A new key and its secret, which can't be read again.
    pub async fn create_key(&self, tenant: &TenantId, name: &str, admin: bool) -> Result<(ApiKey, String)> {
        let mut random = [0u8; 32];
        rand::rng().fill_bytes(&mut random);
        let secret = format!("tdm_{}", hex::encode(random));
        let row = self
            .sql(
                "INSERT INTO keys (id, tenant_id, name, admin, secret_sha256, created_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, now_ms()) RETURNING *",
            )
            .bind(KeyId::generate().as_str())
            .bind(tenant.as_str())
            .bind(name)
            .bind(i64::from(admin))
            .bind(Sha256::digest(&secret).to_vec())
            .fetch_one(self.writer())
            .await
            .map_err(db)?;
        Ok((api_key(&row)?, secret))
    }

    /// Every key, revoked ones too, oldest first.
    pub async fn list_keys(&self) -> Result<Vec<ApiKey>> {
        let rows = self.sql("SELECT * FROM keys ORDER BY created_at_ms, id").fetch_all(self.reader()).await;
        rows.map_err(db)?.iter().map(api_key).collect()
    }

    /// Stops a key. `false` when there is no working key of that id.
    pub async fn revoke_key(&self, id: &KeyId) -> Result<bool> {
        let statement = self.sql("UPDATE keys SET revoked_at_ms = now_ms() WHERE id = $1 AND revoked_at_ms IS NULL");
        self.changed(statement.bind(id.as_str())).await
    }

    /// Every key that works, for the gateway's snapshot.
    pub async fn active_keys(&self) -> Result<Vec<KeyRecord>> {
        let rows = self.sql("SELECT * FROM keys WHERE revoked_at_ms IS NULL").fetch_all(self.reader()).await;
        rows.map_err(db)?.iter().map(key_record).collect()
    }
}

fn api_key(row: &AnyRow) -> Result<ApiKey> {
    let columns = Columns(row);
    Ok(ApiKey {
        id: KeyId::from_string(columns.text("id")?),
        tenant: TenantId::from_string(columns.text("tenant_id")?),
        name: columns.text("name")?,
        admin: columns.int("admin")? != 0,
        created_at_ms: columns.int("created_at_ms")?,
        revoked_at_ms: columns.opt_int("revoked_at_ms")?,
    })
}

fn key_record(row: &AnyRow) -> Result<KeyRecord> {
    let columns = Columns(row);
    let secret_sha256 = columns.blob("secret_sha256")?;
    Ok(KeyRecord {
        id: KeyId::from_string(columns.text("id")?),
        tenant: TenantId::from_string(columns.text("tenant_id")?),
        admin: columns.int("admin")? != 0,
        secret_sha256: secret_sha256.try_into().map_err(|_| Error::internal("a key's hash is not 32 bytes long"))?,
    })
}
