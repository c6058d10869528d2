//! Anthropic's own API.

use super::{Provider, below, sensitive};
use crate::{Dialect, speech::Speech};
use async_trait::async_trait;
use domain::Result;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

#[derive(Debug)]
pub(super) struct Anthropic {
    key: Option<SecretString>,
}

impl Anthropic {
    pub(super) fn new(key: Option<SecretString>) -> Self {
        Self { key }
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn address(&self, base: &Url, dialect: Dialect, speech: Speech, _: bool) -> String {
        below(base, speech.spoken(dialect).operation())
    }

    async fn authorize(&self, headers: &mut HeaderMap) -> Result<()> {
        headers.insert(VERSION, HeaderValue::from_static("2023-06-01"));
        if let Some(key) = &self.key {
            headers.insert(API_KEY, sensitive(key.expose_secret())?);
        }
        Ok(())
    }

    fn otel_name(&self) -> &'static str {
        "anthropic"
    }
}
