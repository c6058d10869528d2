//! Tenants and their API keys. A secret is shown once; the table holds its SHA-256 only.

use crate::{
    Store,
    files::page,
    row::{Columns, db},
};
use domain::{Error, KeyId, ModelAccess, Result, Scopes, TenantId};
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
    /// What it may do.
    pub scopes: Scopes,
    /// Which models it may ask.
    pub models: ModelAccess,
    /// What its operators want to remember.
    pub note: String,
    /// The beginning of its secret.
    pub hint: String,
    /// Milliseconds.
    pub created_at_ms: i64,
    /// Milliseconds; it works until then.
    pub expires_at_ms: Option<i64>,
    /// Milliseconds; written now and then.
    pub last_used_at_ms: Option<i64>,
    /// Milliseconds; `None` while it works.
    pub revoked_at_ms: Option<i64>,
}

/// What a key is to be.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What a person calls it.
    pub name: String,
    /// The word in its secret that tells where it is used, as `live`.
    pub environment: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Which models it may ask.
    pub models: ModelAccess,
    /// What its operators want to remember.
    pub note: String,
    /// Milliseconds; it works until then.
    pub expires_at_ms: Option<i64>,
}

impl NewKey {
    /// A key without end for every model.
    #[must_use]
    pub fn named(name: &str, scopes: Scopes) -> Self {
        Self {
            name: name.to_owned(),
            environment: "live".to_owned(),
            scopes,
            models: ModelAccess::All,
            note: String::new(),
            expires_at_ms: None,
        }
    }
}

/// A key as the gateway checks it.
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
    /// Milliseconds; it works until then.
    pub expires_at_ms: Option<i64>,
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
    pub async fn create_key(&self, tenant: &TenantId, new: &NewKey) -> Result<(ApiKey, String)> {
        let secret = new_secret(&new.environment);
        let row = self
            .sql(
                "INSERT INTO keys (id, tenant_id, name, scopes, models, note, hint, expires_at_ms, secret_sha256, \
                 created_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now_ms()) RETURNING *",
            )
            .bind(KeyId::generate().as_str())
            .bind(tenant.as_str())
            .bind(new.name.as_str())
            .bind(new.scopes.to_string())
            .bind(models_json(&new.models)?)
            .bind(new.note.as_str())
            .bind(hint(&secret))
            .bind(new.expires_at_ms)
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

    /// A page of the keys of one tenant or of all, newest first, and whether there are more.
    pub async fn page_of_keys(
        &self,
        tenant: Option<&TenantId>,
        after: Option<&KeyId>,
        limit: i64,
    ) -> Result<(Vec<ApiKey>, bool)> {
        let rows = self
            .sql(
                "SELECT * FROM keys WHERE (CAST($1 AS TEXT) IS NULL OR tenant_id = $1) \
                 AND (CAST($2 AS TEXT) IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
            )
            .bind(tenant.map(TenantId::as_str))
            .bind(after.map(KeyId::as_str))
            .bind(limit + 1)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        page(&rows, limit, api_key)
    }

    /// The key of that id, also a revoked one.
    pub async fn key_of_id(&self, id: &KeyId) -> Result<Option<ApiKey>> {
        let row = self.sql("SELECT * FROM keys WHERE id = $1").bind(id.as_str()).fetch_optional(self.reader()).await;
        row.map_err(db)?.as_ref().map(api_key).transpose()
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

/// 256 random bits, behind what they are and where they are used.
fn new_secret(environment: &str) -> String {
    let mut random = [0u8; 32];
    rand::rng().fill_bytes(&mut random);
    format!("tdm_{environment}_{}", hex::encode(random))
}

/// Enough of a secret to recognise it, too little to guess it.
fn hint(secret: &str) -> String {
    let random = secret.rfind('_').map_or(0, |at| at + 1);
    format!("{}…", &secret[..(random + 4).min(secret.len())])
}

fn models_json(models: &ModelAccess) -> Result<Option<String>> {
    match models {
        ModelAccess::All => Ok(None),
        only @ ModelAccess::Only(_) => serde_json::to_string(only).map(Some).map_err(Error::internal),
    }
}

fn models(columns: &Columns<'_>) -> Result<ModelAccess> {
    let json = columns.opt_text("models")?;
    json.map_or(Ok(ModelAccess::All), |json| serde_json::from_str(&json).map_err(Error::internal))
}

fn scopes(columns: &Columns<'_>) -> Result<Scopes> {
    let text = columns.text("scopes")?;
    Scopes::parse(&text).map_err(|word| Error::internal(format!("a key has the unknown scope {word:?}")))
}

fn api_key(row: &AnyRow) -> Result<ApiKey> {
    let columns = Columns(row);
    Ok(ApiKey {
        id: KeyId::from_string(columns.text("id")?),
        tenant: TenantId::from_string(columns.text("tenant_id")?),
        name: columns.text("name")?,
        scopes: scopes(&columns)?,
        models: models(&columns)?,
        note: columns.text("note")?,
        hint: columns.text("hint")?,
        expires_at_ms: columns.opt_int("expires_at_ms")?,
        last_used_at_ms: columns.opt_int("last_used_at_ms")?,
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
        scopes: scopes(&columns)?,
        models: models(&columns)?,
        expires_at_ms: columns.opt_int("expires_at_ms")?,
        secret_sha256: secret_sha256.try_into().map_err(|_| Error::internal("a key's hash is not 32 bytes long"))?,
    })
}
