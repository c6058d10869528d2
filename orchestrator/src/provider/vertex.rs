//! Vertex AI: Gemini, Claude, and models deployed to the project's own endpoints. Addresses as Google's reference has them.

use super::{Provider, bearer, below, google::Tokens};
use crate::{
    Dialect,
    catalog::{Publisher, Vertex, VertexApi},
    speech::Speech,
};
use async_trait::async_trait;
use domain::Result;
use http::{HeaderMap, header::AUTHORIZATION};
use secrecy::SecretString;
use std::sync::Arc;
use url::Url;

#[derive(Debug)]
pub(super) struct VertexAi {
    vertex: Vertex,
    model: String,
    /// A token that never changes, for servers that only stand in for Google.
    fixed: Option<SecretString>,
    tokens: Arc<Tokens>,
}

impl VertexAi {
    pub(super) fn new(vertex: Vertex, model: String, fixed: Option<SecretString>, tokens: Arc<Tokens>) -> Self {
        Self { vertex, model, fixed, tokens }
    }

    fn path(&self, dialect: Dialect, is_stream: bool) -> String {
        let Vertex { project, location, publisher, api } = &self.vertex;
        let place = format!("/v1/projects/{project}/locations/{location}");
        let model = &self.model;
        match (publisher, api) {
            (Publisher::Endpoint(id), _) => format!("{place}/endpoints/{id}/chat/completions"),
            (Publisher::Google, VertexApi::OpenAi) => format!("{place}/endpoints/openapi/chat/completions"),
            (Publisher::Google, VertexApi::Native) => match (dialect, is_stream) {
                (Dialect::Embeddings, _) => format!("{place}/publishers/google/models/{model}:predict"),
                (_, true) => format!("{place}/publishers/google/models/{model}:streamGenerateContent?alt=sse"),
                (_, false) => format!("{place}/publishers/google/models/{model}:generateContent"),
            },
            (Publisher::Anthropic, _) => match (dialect, is_stream) {
                (Dialect::CountTokens, _) => format!("{place}/publishers/anthropic/models/count-tokens:rawPredict"),
                (_, true) => format!("{place}/publishers/anthropic/models/{model}:streamRawPredict"),
                (_, false) => format!("{place}/publishers/anthropic/models/{model}:rawPredict"),
            },
        }
    }
}

#[async_trait]
impl Provider for VertexAi {
    fn address(&self, base: &Url, dialect: Dialect, _: Speech, is_stream: bool) -> String {
        below(base, &self.path(dialect, is_stream))
    }

    async fn authorize(&self, headers: &mut HeaderMap) -> Result<()> {
        match &self.fixed {
            Some(token) => {
                headers.insert(AUTHORIZATION, bearer(token)?);
            }
            None => headers.extend(self.tokens.headers().await?),
        }
        Ok(())
    }

    fn otel_name(&self) -> &'static str {
        "gcp.vertex_ai"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(publisher: Publisher, api: VertexApi, dialect: Dialect, is_stream: bool) -> String {
        let vertex = Vertex { project: "p".into(), location: "l".into(), publisher, api };
        VertexAi::new(vertex, "m".into(), None, Arc::default()).path(dialect, is_stream)
    }

    #[test]
    fn each_kind_of_model_has_its_path() {
        let endpoint = || Publisher::Endpoint("7".into());
        let cases = [
            (endpoint(), VertexApi::Native, Dialect::Chat, true, "endpoints/7/chat/completions"),
            (Publisher::Google, VertexApi::OpenAi, Dialect::Chat, true, "endpoints/openapi/chat/completions"),
            (
                Publisher::Google,
                VertexApi::Native,
                Dialect::Chat,
                true,
                "publishers/google/models/m:streamGenerateContent?alt=sse",
            ),
            (
                Publisher::Google,
                VertexApi::Native,
                Dialect::Messages,
                false,
                "publishers/google/models/m:generateContent",
            ),
            (Publisher::Google, VertexApi::Native, Dialect::Embeddings, false, "publishers/google/models/m:predict"),
            (
                Publisher::Anthropic,
                VertexApi::Native,
                Dialect::Chat,
                true,
                "publishers/anthropic/models/m:streamRawPredict",
            ),
            (
                Publisher::Anthropic,
                VertexApi::Native,
                Dialect::Messages,
                false,
                "publishers/anthropic/models/m:rawPredict",
            ),
            (
                Publisher::Anthropic,
                VertexApi::Native,
                Dialect::CountTokens,
                false,
                "publishers/anthropic/models/count-tokens:rawPredict",
            ),
        ];
        for (publisher, api, dialect, is_stream, end) in cases {
            let expected = format!("/v1/projects/p/locations/l/{end}");

            assert_eq!(path(publisher, api, dialect, is_stream), expected);
        }
    }
}
