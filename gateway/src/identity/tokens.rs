//! Callers with a token of an issuer. A token that was checked is remembered by the SHA-256 of all of it, until it ends or the
//! issuer's keys are read again; whether its tenant still works is asked each time.

use super::{Digested, IdentitySettings, IssuerSettings, keys::Keys};
use chassis::{
    drain::Drain,
    jwt::{Trust, Verifier, claimed_issuer},
};
use chrono::Utc;
use domain::{Caller, Error, Kind, Result, claims::grant};
use futures::future::join_all;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};

/// Whatever the settings say, a key that an issuer has withdrawn is forgotten after a day.
const LONGEST_REFRESH_SECS: u64 = 86_400;

/// The issuers and what is known of their tokens.
pub(super) struct Tokens {
    issuers: Vec<Issuer>,
    checked: Cache<Digested, Checked>,
}

struct Issuer {
    settings: IssuerSettings,
    verifier: Verifier,
}

#[derive(Clone)]
struct Checked {
    caller: Arc<Caller>,
    ends_at_ms: i64,
}

impl Tokens {
    pub(super) fn new(settings: &IdentitySettings) -> Self {
        let refresh = Duration::from_secs(settings.jwks_refresh_secs.clamp(1, LONGEST_REFRESH_SECS));
        let min_interval = Duration::from_secs(settings.jwks_min_interval_secs.clamp(1, LONGEST_REFRESH_SECS));
        let issuer = |issuer: &IssuerSettings| Issuer {
            settings: issuer.clone(),
            verifier: Verifier::new(Trust {
                issuer: issuer.url.clone(),
                audiences: issuer.audiences.clone(),
                algorithms: issuer.algorithms.clone(),
                leeway: Duration::from_secs(issuer.leeway_secs),
                refresh,
                min_interval,
            }),
        };
        let checked = Cache::builder().max_capacity(settings.token_cache_entries).time_to_live(refresh).build();
        Self { issuers: settings.issuers.iter().map(issuer).collect(), checked }
    }

    /// Whether there is any issuer.
    pub(super) fn are_taken(&self) -> bool {
        !self.issuers.is_empty()
    }

    /// Who the token says asks, if it may be believed and a rule is for it.
    pub(super) async fn caller(&self, token: &str, keys: &Keys) -> Result<Arc<Caller>> {
        let digest: Digested = Sha256::digest(token.as_bytes()).into();
        if let Some(checked) = self.checked.get(&digest).await
            && Utc::now().timestamp_millis() < checked.ends_at_ms
            && keys.is_active(&checked.caller.tenant)
        {
            return Ok(checked.caller);
        }
        let checked = self.check(token, keys).await?;
        self.checked.insert(digest, checked.clone()).await;
        Ok(checked.caller)
    }

    /// Keeps the keys of all issuers fresh until the drain begins.
    pub(super) async fn follow(&self, drain: &Drain) {
        for outcome in join_all(self.issuers.iter().map(|issuer| issuer.verifier.follow(drain.clone()))).await {
            if let Err(error) = outcome {
                tracing::warn!(error = %error.chain(), "an issuer is not followed any more");
            }
        }
    }

    async fn check(&self, token: &str, keys: &Keys) -> Result<Checked> {
        let named = claimed_issuer(token);
        let issuer = self.issuers.iter().find(|issuer| named.as_deref() == Some(issuer.verifier.issuer()));
        let issuer = issuer.ok_or_else(unknown_issuer)?;
        let claims = issuer.verifier.verify(token).await?;
        let IssuerSettings { name, principal, rules, .. } = &issuer.settings;
        let granted = grant(name, principal, rules, &claims)?;
        let tenant = keys.tenant(granted.tenant).await?.ok_or_else(|| no_such_tenant(granted.tenant))?;
        let caller = Caller {
            tenant,
            key: None,
            principal: Some(granted.principal),
            scopes: granted.scopes,
            models: granted.models.clone(),
        };
        Ok(Checked { caller: Arc::new(caller), ends_at_ms: claims.ends_at_ms() })
    }
}

fn unknown_issuer() -> Error {
    let text = "The credential is a token that can't be read, or whose issuer (`iss`) is not one that is trusted here.";
    Error::new(Kind::Unauthenticated, text).with_code("invalid_token")
}

fn no_such_tenant(name: &str) -> Error {
    let text = format!("Your token acts for the tenant `{name}`, which does not exist here or is disabled.");
    Error::new(Kind::PermissionDenied, text).with_code("no_such_tenant")
}
