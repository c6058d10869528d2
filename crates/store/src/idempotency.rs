//! Outcomes of requests that came with an `Idempotency-Key`. A row is running while its owner holds the lease, then done.
//! Every write after the first names the owner, so whoever lost the lease changes nothing.

use crate::{
    Store,
    row::{Columns, db},
};
use domain::{Error, Result, TenantId};
use sqlx::any::AnyRow;

/// A row that goes away between the two statements of a claim is claimed anew, this often.
const TRIES: usize = 3;

/// Which request, of whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Whose key it is.
    pub tenant: TenantId,
    /// SHA-256 of the key's text, in hex.
    pub key_sha256: String,
}

/// The right to answer a request.
#[derive(Debug, Clone)]
pub struct IdempotencyClaim {
    /// The request.
    pub key: IdempotencyKey,
    /// Who answers; another text for each attempt.
    pub owner: String,
    /// SHA-256 of the request, in hex, as far as it is known.
    pub request_sha256: String,
}

/// What a request ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentOutcome {
    /// SHA-256 of the request, in hex.
    pub request_sha256: String,
    /// HTTP status.
    pub status: u16,
    /// What of the head is worth keeping, as its writer understands it.
    pub headers_json: String,
    /// The body; none = too large to be kept.
    pub body: Option<Vec<u8>>,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is the claimant's to answer.
    Started,
    /// Somebody else answers a request with this hash.
    Running {
        /// SHA-256 of the request, in hex.
        request_sha256: String,
    },
    /// It was answered.
    Done(IdempotentOutcome),
}

impl Store {
    /// Claims a request for `lease_ms`. An outcome that has expired, and the same request whose owner's lease lapsed, are
    /// taken over.
    pub async fn begin_idempotent(&self, claim: &IdempotencyClaim, lease_ms: i64, ttl_ms: i64) -> Result<Begun> {
        for _ in 0..TRIES {
            if self.claim_idempotent(claim, lease_ms, ttl_ms).await? {
                return Ok(Begun::Started);
            }
            if let Some(begun) = self.find_idempotent(&claim.key).await? {
                return Ok(begun);
            }
        }
        Err(Error::unavailable("Requests with this idempotency key come and go too fast; try again."))
    }

    async fn claim_idempotent(&self, claim: &IdempotencyClaim, lease_ms: i64, ttl_ms: i64) -> Result<bool> {
        let statement = self
            .sql(
                "INSERT INTO idempotency_records AS r (tenant_id, key_sha256, request_sha256, state, owner, \
                 lease_until_ms, created_at_ms, expires_at_ms) \
                 VALUES ($1, $2, $3, 'running', $4, now_ms() + $5, now_ms(), now_ms() + $6) \
                 ON CONFLICT (tenant_id, key_sha256) DO UPDATE SET request_sha256 = excluded.request_sha256, \
                 state = 'running', owner = excluded.owner, lease_until_ms = excluded.lease_until_ms, status = NULL, \
                 headers_json = NULL, body = NULL, created_at_ms = excluded.created_at_ms, \
                 expires_at_ms = excluded.expires_at_ms \
                 WHERE (r.state = 'done' AND r.expires_at_ms <= now_ms()) OR (r.state = 'running' \
                 AND r.lease_until_ms <= now_ms() \
                 AND (r.request_sha256 = excluded.request_sha256 OR r.expires_at_ms <= now_ms()))",
            )
            .bind(claim.key.tenant.as_str().to_owned())
            .bind(claim.key.key_sha256.clone())
            .bind(claim.request_sha256.clone())
            .bind(claim.owner.clone())
            .bind(lease_ms)
            .bind(ttl_ms);
        self.changed(statement).await
    }

    async fn find_idempotent(&self, key: &IdempotencyKey) -> Result<Option<Begun>> {
        let row = self
            .sql("SELECT * FROM idempotency_records WHERE tenant_id = $1 AND key_sha256 = $2")
            .bind(key.tenant.as_str().to_owned())
            .bind(key.key_sha256.clone())
            .fetch_optional(self.reader())
            .await
            .map_err(db)?;
        row.as_ref().map(begun).transpose()
    }

    /// Holds a claim for another `lease_ms`. `false`: it is lost.
    pub async fn renew_idempotent(&self, claim: &IdempotencyClaim, lease_ms: i64) -> Result<bool> {
        let statement = self
            .sql(
                "UPDATE idempotency_records SET lease_until_ms = now_ms() + $4 \
                 WHERE tenant_id = $1 AND key_sha256 = $2 AND owner = $3 AND state = 'running'",
            )
            .bind(claim.key.tenant.as_str().to_owned())
            .bind(claim.key.key_sha256.clone())
            .bind(claim.owner.clone())
            .bind(lease_ms);
        self.changed(statement).await
    }

    /// Keeps the outcome for `ttl_ms`. `false`: the claim is lost.
    pub async fn finish_idempotent(
        &self,
        claim: &IdempotencyClaim,
        outcome: IdempotentOutcome,
        ttl_ms: i64,
    ) -> Result<bool> {
        let statement = self
            .sql(
                "UPDATE idempotency_records SET state = 'done', request_sha256 = $4, status = $5, headers_json = $6, \
                 body = $7, expires_at_ms = now_ms() + $8 \
                 WHERE tenant_id = $1 AND key_sha256 = $2 AND owner = $3 AND state = 'running'",
            )
            .bind(claim.key.tenant.as_str().to_owned())
            .bind(claim.key.key_sha256.clone())
            .bind(claim.owner.clone())
            .bind(outcome.request_sha256)
            .bind(i64::from(outcome.status))
            .bind(outcome.headers_json)
            .bind(outcome.body)
            .bind(ttl_ms);
        self.changed(statement).await
    }

    /// Forgets a claim without an outcome: the next request with the key runs. `false`: it is lost.
    pub async fn release_idempotent(&self, claim: &IdempotencyClaim) -> Result<bool> {
        let statement = self
            .sql(
                "DELETE FROM idempotency_records \
                 WHERE tenant_id = $1 AND key_sha256 = $2 AND owner = $3 AND state = 'running'",
            )
            .bind(claim.key.tenant.as_str().to_owned())
            .bind(claim.key.key_sha256.clone())
            .bind(claim.owner.clone());
        self.changed(statement).await
    }

    /// Removes up to `limit` rows that nobody may ask for any more, and says how many.
    pub async fn purge_idempotent(&self, limit: i64) -> Result<u64> {
        let statement = self
            .sql(
                "DELETE FROM idempotency_records WHERE (tenant_id, key_sha256) IN (SELECT tenant_id, key_sha256 \
                 FROM idempotency_records WHERE expires_at_ms <= now_ms() AND (state = 'done' \
                 OR lease_until_ms <= now_ms()) ORDER BY expires_at_ms LIMIT $1 FOR UPDATE SKIP LOCKED)",
            )
            .bind(limit);
        Ok(statement.execute(self.writer()).await.map_err(db)?.rows_affected())
    }
}

fn begun(row: &AnyRow) -> Result<Begun> {
    let columns = Columns(row);
    let request_sha256 = columns.text("request_sha256")?;
    if columns.text("state")? == "running" {
        return Ok(Begun::Running { request_sha256 });
    }
    Ok(Begun::Done(IdempotentOutcome {
        request_sha256,
        status: u16::try_from(columns.int("status")?).map_err(Error::internal)?,
        headers_json: columns.text("headers_json")?,
        body: columns.opt_blob("body")?,
    }))
}
