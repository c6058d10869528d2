//! Who may use the internal service: whoever knows the shared secret, and service accounts whose ID token is signed by Google.

use crate::settings::AccessSettings;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use chassis::{
    drain::Drain,
    http::ApiError,
    jwt::{Algorithm, Trust, Verifier, is_token},
    settings::Secret,
};
use domain::{Error, Kind, Result};
use http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};
use subtle::ConstantTimeEq;

/// Shorter secrets can be guessed.
const SHORTEST_SECRET: usize = 16;
const LEEWAY: Duration = Duration::from_secs(30);
const JWKS_REFRESH: Duration = Duration::from_secs(600);
const JWKS_MIN_INTERVAL: Duration = Duration::from_secs(30);

/// The guard of the internal service. Clones share it.
#[derive(Debug, Clone)]
pub struct Access(Arc<Ways>);

#[derive(Debug, Default)]
struct Ways {
    /// SHA-256 of the secret: texts of one length are compared in a time that says nothing of them.
    secret: Option<[u8; 32]>,
    accounts: Option<Accounts>,
}

#[derive(Debug)]
struct Accounts {
    verifier: Verifier,
    emails: BTreeSet<String>,
}

impl Access {
    /// What the settings allow, for a service that listens on `bind`.
    ///
    /// # Errors
    /// `InvalidRequest` when a setting that belongs to another is missing, the secret is too short, or there would be no guard
    /// where other machines may call.
    pub fn open(settings: &AccessSettings, bind: SocketAddr) -> Result<Self> {
        let AccessSettings { secret, audience, service_accounts, issuer } = settings;
        if !secret.is_empty() && secret.expose().len() < SHORTEST_SECRET {
            return Err(Error::invalid(format!("`orchestrator.secret` is shorter than {SHORTEST_SECRET} bytes")));
        }
        if audience.is_some() == service_accounts.is_empty() {
            return Err(Error::invalid("`orchestrator.audience` and `orchestrator.service_accounts` need each other"));
        }
        if secret.is_empty() && audience.is_none() && !bind.ip().is_loopback() {
            return Err(Error::invalid(format!(
                "without `orchestrator.secret` or `orchestrator.audience` anybody who reaches {bind} could use the models: \
                 set one, or bind to loopback"
            )));
        }
        let accounts = audience.as_ref().map(|audience| Accounts {
            verifier: Verifier::new(Trust {
                issuer: issuer.clone(),
                audiences: vec![audience.clone()],
                algorithms: vec![Algorithm::RS256, Algorithm::ES256],
                leeway: LEEWAY,
                refresh: JWKS_REFRESH,
                min_interval: JWKS_MIN_INTERVAL,
            }),
            emails: service_accounts.iter().cloned().collect(),
        });
        Ok(Self(Arc::new(Ways { secret: digest(secret), accounts })))
    }

    /// Keeps the keys of the issuer fresh until the drain begins.
    ///
    /// # Errors
    /// None.
    pub async fn follow(self, drain: Drain) -> Result<()> {
        match &self.0.accounts {
            Some(accounts) => accounts.verifier.follow(drain).await,
            None => {
                drain.begun().await;
                Ok(())
            }
        }
    }

    async fn judge(&self, headers: &HeaderMap) -> Result<()> {
        let ways = &*self.0;
        if ways.secret.is_none() && ways.accounts.is_none() {
            return Ok(());
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let given = given.ok_or_else(refused)?;
        if let Some(secret) = &ways.secret
            && bool::from(Sha256::digest(given).ct_eq(secret))
        {
            return Ok(());
        }
        match &ways.accounts {
            Some(accounts) if is_token(given) => accounts.judge(given).await,
            _ => Err(refused()),
        }
    }
}

impl Accounts {
    async fn judge(&self, token: &str) -> Result<()> {
        let claims = self.verifier.verify(token).await?;
        let is_verified = claims.get("email_verified").and_then(serde_json::Value::as_bool) == Some(true);
        let email = claims.text("email").filter(|email| is_verified && self.emails.contains(*email));
        email.map(drop).ok_or_else(|| {
            let text = "The token is not of a service account in `orchestrator.service_accounts`.";
            Error::new(Kind::PermissionDenied, text).with_code("service_account_refused")
        })
    }
}

/// Lets only those through who may use the service.
pub(crate) async fn require(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> std::result::Result<Response, ApiError> {
    if let Err(error) = access.judge(request.headers()).await {
        tracing::warn!(error = %error.chain(), "a call to the internal service was refused");
        return Err(error.into());
    }
    Ok(next.run(request).await)
}

fn digest(secret: &Secret) -> Option<[u8; 32]> {
    (!secret.is_empty()).then(|| Sha256::digest(secret.expose()).into())
}

fn refused() -> Error {
    Error::new(Kind::Unauthenticated, "This internal service takes calls with its secret or an ID token only.")
        .with_code("service_credentials_refused")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn settings(secret: &str) -> AccessSettings {
        AccessSettings { secret: Secret::from(secret.to_owned()), ..AccessSettings::default() }
    }

    fn open(settings: &AccessSettings, bind: &str) -> Result<Access> {
        Access::open(settings, bind.parse().unwrap())
    }

    #[test]
    fn without_a_guard_it_serves_this_machine_only() {
        assert!(open(&settings(""), "127.0.0.1:1").is_ok() && open(&settings(""), "[::1]:1").is_ok());
        let error = open(&settings(""), "0.0.0.0:1").unwrap_err();
        assert!(error.to_string().contains("orchestrator.secret"), "{error}");
        assert!(open(&settings("0123456789abcdef"), "0.0.0.0:1").is_ok());
        assert!(open(&settings("short"), "127.0.0.1:1").is_err());
        let audience = AccessSettings { audience: Some("a".to_owned()), ..AccessSettings::default() };
        assert!(open(&audience, "127.0.0.1:1").unwrap_err().to_string().contains("service_accounts"));
    }

    #[tokio::test]
    async fn only_the_secret_opens() {
        let access = open(&settings("0123456789abcdef"), "0.0.0.0:1").unwrap();
        let judge = async |value: &'static str| {
            access.judge(&HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])).await
        };

        assert!(judge("Bearer 0123456789abcdef").await.is_ok());
        for value in
            ["Bearer 0123456789abcdeg", "Bearer ", "0123456789abcdef", "Bearer a.b.c", "Basic 0123456789abcdef"]
        {
            assert_eq!(judge(value).await.unwrap_err().kind(), Kind::Unauthenticated, "{value}");
        }
        assert!(access.judge(&HeaderMap::new()).await.is_err());
        assert!(!format!("{access:?}").contains("0123456789abcdef"));
    }
}
