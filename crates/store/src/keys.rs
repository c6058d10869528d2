//! Tenants and their API keys. A secret is shown once; the table holds its SHA-256 only.

mod recorded;
mod secret;
mod snapshot;

pub use snapshot::KeyRecord;

use crate::{
    Store,
    row::{Columns, db},
    store::Sql,
};
use domain::{Error, KeyId, ModelAccess, Result, Scopes, TenantId};
use secret::Secret;
use sqlx::any::AnyRow;
use std::time::Duration;

/// The longest time for which a secret works beside the one that follows it.
pub const MAX_KEY_OVERLAP: Duration = Duration::from_secs(30 * 86_400);

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
    /// Milliseconds; until then the secret before the last rotation works too.
    pub old_until_ms: Option<i64>,
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

/// What is to become of a key; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct KeyPatch {
    /// Another name.
    pub name: Option<String>,
    /// Another note.
    pub note: Option<String>,
    /// What it may do from now on.
    pub scopes: Option<Scopes>,
    /// Which models it may ask from now on.
    pub models: Option<ModelAccess>,
    /// Milliseconds; `Some(None)` takes its end away.
    pub expires_at_ms: Option<Option<i64>>,
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
    ///
    /// # Errors
    /// `InvalidRequest` when the environment is not a word of 1 to 16 lower-case letters and digits.
    pub async fn create_key(&self, tenant: &TenantId, new: &NewKey) -> Result<(ApiKey, String)> {
        let secret = Secret::generate(&new.environment)?;
        let row = self.insert_key_sql(tenant, new, &secret)?.fetch_one(self.writer()).await.map_err(db)?;
        Ok((api_key(&row)?, secret.into_text()))
    }

    /// A page of keys, revoked ones too, newest first, and whether there are more; of one tenant or of all.
    pub async fn list_keys(
        &self,
        tenant: Option<&TenantId>,
        after: Option<&KeyId>,
        limit: i64,
    ) -> Result<(Vec<ApiKey>, bool)> {
        let filters = [("tenant_id", tenant.map(TenantId::as_str))];
        self.newest("SELECT * FROM keys", &filters, (after.map(KeyId::as_str), limit), api_key).await
    }

    /// The key of that id, revoked or not.
    pub async fn key(&self, id: &KeyId) -> Result<Option<ApiKey>> {
        let row = self.sql("SELECT * FROM keys WHERE id = $1").bind(id.as_str()).fetch_optional(self.reader()).await;
        row.map_err(db)?.as_ref().map(api_key).transpose()
    }

    /// Changes a key. `None`: there is no working key of that id.
    pub async fn patch_key(&self, id: &KeyId, patch: &KeyPatch) -> Result<Option<ApiKey>> {
        let row = self.patch_key_sql(id, patch)?.fetch_optional(self.writer()).await.map_err(db)?;
        row.as_ref().map(api_key).transpose()
    }

    /// Gives a key another secret. The one before it works for `overlap` more; one that was before that ceases at once.
    /// `None`: there is no working key of that id.
    ///
    /// # Errors
    /// As [`Store::create_key`].
    pub async fn rotate_key(
        &self,
        id: &KeyId,
        environment: &str,
        overlap: Duration,
    ) -> Result<Option<(ApiKey, String)>> {
        let secret = Secret::generate(environment)?;
        let row = self.rotate_key_sql(id, &secret, overlap).fetch_optional(self.writer()).await.map_err(db)?;
        row.map(|row| Ok((api_key(&row)?, secret.into_text()))).transpose()
    }

    /// Stops a key and all its secrets. `false` when there is no working key of that id.
    pub async fn revoke_key(&self, id: &KeyId) -> Result<bool> {
        self.changed(self.revoke_key_sql(id)).await
    }

    pub(crate) fn insert_key_sql(&self, tenant: &TenantId, new: &NewKey, secret: &Secret) -> Result<Sql> {
        let statement = self.sql(
            "INSERT INTO keys (id, tenant_id, name, scopes, models, note, hint, expires_at_ms, secret_sha256, \
             created_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now_ms()) RETURNING *",
        );
        Ok(statement
            .bind(KeyId::generate().as_str().to_owned())
            .bind(tenant.as_str().to_owned())
            .bind(new.name.clone())
            .bind(new.scopes.to_string())
            .bind(models_json(&new.models)?)
            .bind(new.note.clone())
            .bind(secret.hint())
            .bind(new.expires_at_ms)
            .bind(secret.sha256()))
    }

    pub(crate) fn patch_key_sql(&self, id: &KeyId, patch: &KeyPatch) -> Result<Sql> {
        let statement = self.sql(
            "UPDATE keys SET name = COALESCE($2, name), note = COALESCE($3, note), scopes = COALESCE($4, scopes), \
             models = CASE WHEN $5 = 1 THEN $6 ELSE models END, \
             expires_at_ms = CASE WHEN $7 = 1 THEN $8 ELSE expires_at_ms END \
             WHERE id = $1 AND revoked_at_ms IS NULL RETURNING *",
        );
        Ok(statement
            .bind(id.as_str().to_owned())
            .bind(patch.name.clone())
            .bind(patch.note.clone())
            .bind(patch.scopes.map(|scopes| scopes.to_string()))
            .bind(i64::from(patch.models.is_some()))
            .bind(patch.models.as_ref().map(models_json).transpose()?.flatten())
            .bind(i64::from(patch.expires_at_ms.is_some()))
            .bind(patch.expires_at_ms.flatten()))
    }

    pub(crate) fn rotate_key_sql(&self, id: &KeyId, secret: &Secret, overlap: Duration) -> Sql {
        self.sql(
            "UPDATE keys SET old_sha256 = secret_sha256, old_until_ms = now_ms() + $2, secret_sha256 = $3, hint = $4 \
             WHERE id = $1 AND revoked_at_ms IS NULL RETURNING *",
        )
        .bind(id.as_str().to_owned())
        .bind(i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2))
        .bind(secret.sha256())
        .bind(secret.hint())
    }

    pub(crate) fn revoke_key_sql(&self, id: &KeyId) -> Sql {
        self.sql("UPDATE keys SET revoked_at_ms = now_ms() WHERE id = $1 AND revoked_at_ms IS NULL")
            .bind(id.as_str().to_owned())
    }
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

pub(crate) fn api_key(row: &AnyRow) -> Result<ApiKey> {
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
        old_until_ms: columns.opt_int("old_until_ms")?,
    })
}
