//! The one interface to models. Everything that answers requests implements it: the router in this process, and the
//! same router behind HTTP.

use crate::{DeploymentInfo, Dialect, ModelBody, Sending};
use async_trait::async_trait;
use bytes::Bytes;
use domain::{Error, Money, RequestContext, Result};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A request as its caller wrote it, and what it says about itself.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// The API it is written for.
    pub dialect: Dialect,
    /// The JSON, untouched.
    pub body: Bytes,
    /// What routing needs to know of it.
    pub head: wire::head::Head,
    /// The caller's `anthropic-beta` header, for Anthropic's API only.
    pub betas: Option<String>,
    /// Who wants to know when it goes out to a model server. It may be told later than that, never earlier; a caller who has to
    /// go gives a request up that it was not told of.
    pub sending: Option<Sending>,
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
        Ok(Self { dialect, body, head, betas: None, sending: None })
    }
}

/// An answer whose body may still be on its way.
#[derive(Debug)]
pub struct ModelResponse {
    /// Who answers; not known yet when a stream had to begin before anybody did. Then the end tells.
    pub served: Option<Served>,
    /// 2xx, or a 4xx that is the caller's to mend.
    pub status: StatusCode,
    /// The content type and headers that are safe to hand on.
    pub headers: HeaderMap,
    /// The bytes, and how it ended.
    pub body: ModelBody,
}

impl ModelResponse {
    /// Whether the body is a stream of server-sent events.
    #[must_use]
    pub fn is_event_stream(&self) -> bool {
        is_event_stream(&self.headers)
    }
}

const EVENT_STREAM: &[u8] = b"text/event-stream";

pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let essence = value.trim_ascii_start().get(..EVENT_STREAM.len());
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case(EVENT_STREAM))
}

/// Who answered, and what it took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The model; another than the one asked for when that one failed.
    pub model: Arc<str>,
    /// The deployment.
    pub deployment: Arc<str>,
    /// How many calls it took.
    pub attempts: u32,
    /// What it cost, once that is known.
    pub cost: Option<Money>,
    /// Whether it was given before, and no deployment was asked.
    pub is_cached: bool,
    /// How the route was chosen, as JSON, if the caller wished to know.
    pub explanation: Option<String>,
}

/// A model that can be asked for by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name.
    pub id: String,
    /// The model that it is another name for, if it is one.
    #[serde(default)]
    pub alias_of: Option<String>,
    /// Who runs it.
    pub owned_by: String,
    /// Unix seconds.
    pub created: i64,
    /// Its context length in tokens, if known.
    pub max_model_len: Option<u64>,
    /// What a million tokens cost at most, whichever deployment answers, stand-ins included; none = not known of some of them.
    #[serde(default)]
    pub price: Option<ListPrice>,
    /// What an answer without `max_tokens` is expected to have at most.
    #[serde(default)]
    pub expected_output_tokens: u64,
}

/// What a million tokens cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPrice {
    /// Prompt tokens, at the dearest of fresh, cached and written to a cache.
    pub input: Money,
    /// Generated tokens.
    pub output: Money,
}

impl ListPrice {
    /// What so many tokens cost.
    #[must_use]
    pub fn cost(&self, input: u64, output: u64) -> Money {
        self.input.per_million(input) + self.output.per_million(output)
    }

    /// The dearer one of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { input: self.input.max(other.input), output: self.output.max(other.output) }
    }
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

    /// Who serves the models, and how they are just now, as the process that calls them sees it.
    ///
    /// # Errors
    /// When they cannot be read now.
    async fn deployments(&self) -> Result<Vec<DeploymentInfo>>;
}
