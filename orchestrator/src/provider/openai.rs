//! OpenAI's API, wherever it is: OpenAI itself, vLLM, llama.cpp, TGI, Ollama.

use super::{Provider, bearer, below};
use crate::{Dialect, catalog::Engine, speech::Speech};
use async_trait::async_trait;
use domain::Result;
use http::{HeaderMap, header::AUTHORIZATION};
use secrecy::SecretString;
use url::Url;

#[derive(Debug)]
pub(super) struct OpenAi {
    key: Option<SecretString>,
    engine: Engine,
}

impl OpenAi {
    pub(super) fn new(key: Option<SecretString>, engine: Engine) -> Self {
        Self { key, engine }
    }
}

#[async_trait]
impl Provider for OpenAi {
    fn address(&self, base: &Url, dialect: Dialect, speech: Speech, _: bool) -> String {
        below(base, speech.spoken(dialect).operation())
    }

    async fn authorize(&self, headers: &mut HeaderMap) -> Result<()> {
        if let Some(key) = &self.key {
            headers.insert(AUTHORIZATION, bearer(key)?);
        }
        Ok(())
    }

    fn otel_name(&self) -> &'static str {
        match self.engine {
            Engine::Vllm => "vllm",
            Engine::Unknown => "openai",
        }
    }
}
