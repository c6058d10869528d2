//! A thin client of Tandem's own HTTP API, for the commands that use it.

use crate::cli::ApiArgs;
use anyhow::{Context, bail, ensure};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use std::time::Duration;

pub(crate) struct Api {
    http: Client,
    base: String,
    key: String,
}

impl Api {
    pub(crate) fn new(args: &ApiArgs) -> anyhow::Result<Self> {
        ensure!(
            !args.key.is_empty(),
            "no API key: set TANDEM_API_KEY, or pass --key (`tandem keys create NAME` makes one)"
        );
        let http = Client::builder().connect_timeout(Duration::from_secs(5)).no_proxy().build()?;
        Ok(Self { http, base: args.url.trim_end_matches('/').to_owned(), key: args.key.clone() })
    }

    /// A request to `path`, with the key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }

    /// Sends, and turns an error body into one sentence.
    pub(crate) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request.send().await.with_context(|| {
            format!(
                "no answer from {}; is `tandem up` running there? (--url or TANDEM_URL names another place)",
                self.base
            )
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        match body.pointer("/error/message").and_then(Value::as_str) {
            Some(message) => bail!("{message} ({status})"),
            None => bail!("the server answered {status}"),
        }
    }

    /// Sends and reads JSON.
    pub(crate) async fn json(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        Ok(self.send(request).await?.json().await?)
    }
}
