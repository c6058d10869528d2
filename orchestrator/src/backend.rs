//! The one interface to models. Everything that answers requests implements it: the router in this process, and the
//! same router behind HTTP.

use crate::ModelBody;
use async_trait::async_trait;
use bytes::Bytes;
use domain::{Error, RequestContext, Result};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

/// The model API a request is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Chat completions.
    Chat,
    /// Text completions.
    Completions,
    /// Embeddings.
    Embeddings,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Completions, Self::Embeddings];

    /// The path at the edge, as `/v1/chat/completions`.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// The dialect at a path.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.path() == path)
    }

    /// The path below a base address that ends in `/v1`.
    pub(crate) fn operation(self) -> &'static str {
        &self.path()["/v1".len()..]
    }

    /// The word in internal addresses and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
        }
    }
}

/// A request as its caller wrote it, and what it says about itself.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// The API it is written for.
    pub dialect: Dialect,
    /// The JSON, untouched.
    pub body: Bytes,
    /// What routing needs to know of it.
    pub head: wire::head::Head,
}

impl ModelRequest {
    /// Reads the head of `body`.
    ///
    /// # Errors
    /// `InvalidRequest`, with the parameter that is wrong.
    pub fn parse(dialect: Dialect, body: Bytes) -> Result<Self> {
        let head = wire::head::peek(&body).map_err(|wrong| match wrong.param {
            Some(param) => Error::invalid(wrong.message).with_param(param),
            None => Error::invalid(wrong.message),
        })?;
        Ok(Self { dialect, body, head })
    }
}

/// An answer whose body may still be on its way.
#[derive(Debug)]
pub struct ModelResponse {
    /// The deployment that answered.
    pub served_by: String,
    /// How many calls it took.
    pub attempts: u32,
    /// 2xx, or a 4xx that is the caller's to mend.
    pub status: StatusCode,
    /// The content type and headers that are safe to hand on.
    pub headers: HeaderMap,
    /// The bytes, and how it ended.
    pub body: ModelBody,
}

/// A model that can be asked for by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name.
    pub id: String,
    /// Who runs it.
    pub owned_by: String,
    /// Unix seconds.
    pub created: i64,
    /// Its context length in tokens, if known.
    pub max_model_len: Option<u64>,
}

/// Answers requests to models.
#[async_trait]
pub trait ModelBackend: Send + Sync + 'static {
    /// Asks the model that the request names. Dropping the future or the response's body aborts the call.
    ///
    /// # Errors
    /// When there is no answer and no byte of one: unknown model, every deployment failed, deadline passed.
    async fn call(&self, ctx: &RequestContext, request: ModelRequest) -> Result<ModelResponse>;

    /// The models that can be asked for, by name.
    ///
    /// # Errors
    /// When they cannot be read now.
    async fn models(&self) -> Result<Vec<ModelInfo>>;
}
