//! Whose API a deployment has: where a request is sent to, and with which credentials. What is sent is `speech`'s matter.

mod anthropic;
mod google;
mod openai;
mod vertex;

use crate::{
    Dialect,
    catalog::{Deployment, Provider as ProviderName},
    speech::Speech,
};
use async_trait::async_trait;
use domain::{Error, Result};
use google::Tokens;
use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::{fmt, sync::Arc};
use url::Url;

/// One provider's ways.
#[async_trait]
pub(crate) trait Provider: fmt::Debug + Send + Sync {
    /// The address for a request of `dialect` that is put as `speech`, below the endpoint's `base`.
    fn address(&self, base: &Url, dialect: Dialect, speech: Speech, is_stream: bool) -> String;

    /// Headers with credentials and versions.
    ///
    /// # Errors
    /// When there are no credentials now.
    async fn authorize(&self, headers: &mut HeaderMap) -> Result<()>;

    /// The name in OpenTelemetry (`gen_ai.provider.name`).
    fn otel_name(&self) -> &'static str;
}

/// The credentials that providers share. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    google: Arc<Tokens>,
}

/// The provider of a deployment.
pub(crate) fn open(deployment: &Deployment, credentials: &Credentials) -> Box<dyn Provider> {
    let key = deployment.api_key.clone();
    match &deployment.provider {
        ProviderName::OpenAi => Box::new(openai::OpenAi::new(key, deployment.engine)),
        ProviderName::Anthropic => Box::new(anthropic::Anthropic::new(key)),
        ProviderName::Vertex(vertex) => {
            let model = deployment.upstream_model.clone();
            Box::new(vertex::VertexAi::new(vertex.clone(), model, key, credentials.google.clone()))
        }
    }
}

/// `base` with `path` after it.
fn below(base: &Url, path: &str) -> String {
    format!("{}{path}", base.as_str().trim_end_matches('/'))
}

fn bearer(token: &SecretString) -> Result<HeaderValue> {
    sensitive(&format!("Bearer {}", token.expose_secret()))
}

/// A header value that no log shows.
pub(crate) fn sensitive(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text).map_err(Error::internal)?;
    value.set_sensitive(true);
    Ok(value)
}
