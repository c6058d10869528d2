//! How this process proves to an orchestrator who it is.

use crate::{provider::sensitive, settings::OrchestratorSettings};
use domain::{Error, Kind, Result};
use google_cloud_auth::credentials::idtoken::{Builder, IDTokenCredentials};
use http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use std::fmt;

/// Cloud Run looks here first. It removes the signature of the token that it has checked, so the service gets one of its own.
const TO_CLOUD_RUN: HeaderName = HeaderName::from_static("x-serverless-authorization");

/// The credentials of this process for the orchestrator.
#[derive(Clone, Default)]
pub struct Caller {
    secret: Option<http::HeaderValue>,
    /// Keeps a token and renews it ahead of its end.
    tokens: Option<IDTokenCredentials>,
}

impl Caller {
    /// What the settings name: the shared secret, ID tokens for the audience, both or nothing.
    ///
    /// # Errors
    /// When the secret can't be sent in a header, or this process has no Google credentials.
    pub fn open(settings: &OrchestratorSettings) -> Result<Self> {
        let secret = &settings.secret;
        let secret = (!secret.is_empty()).then(|| sensitive(&format!("Bearer {}", secret.expose()))).transpose()?;
        let tokens = settings.audience.as_ref().map(|audience| Builder::new(audience).with_include_email().build());
        Ok(Self { secret, tokens: tokens.transpose().map_err(no_token)? })
    }

    /// Adds what proves who asks.
    pub(crate) async fn authorize(&self, headers: &mut HeaderMap) -> Result<()> {
        if let Some(tokens) = &self.tokens {
            let token = sensitive(&format!("Bearer {}", tokens.id_token().await.map_err(no_token)?))?;
            headers.insert(TO_CLOUD_RUN, token.clone());
            headers.insert(AUTHORIZATION, token);
        }
        if let Some(secret) = &self.secret {
            headers.insert(AUTHORIZATION, secret.clone());
        }
        Ok(())
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (has_secret, has_tokens) = (self.secret.is_some(), self.tokens.is_some());
        f.debug_struct("Caller").field("has_secret", &has_secret).field("has_tokens", &has_tokens).finish()
    }
}

fn no_token(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Unavailable, "This service has no credentials for the one that reaches the models.")
        .with_source(cause)
}
