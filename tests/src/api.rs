//! The HTTP API as a caller sees it, whatever is behind it.

use serde_json::{Value, json};
use std::time::Duration;

/// A million lines take a while on a debug build.
const UPLOAD: Duration = Duration::from_secs(600);

/// An address of the API, and a key.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Api {
    /// The API at `url`, asked with `key`.
    #[must_use]
    pub fn new(http: reqwest::Client, url: &str, key: &str) -> Self {
        Self { http, url: url.to_owned(), key: key.to_owned() }
    }

    /// The same with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// A request that carries the key.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// POSTs JSON and gives the status and the body.
    pub async fn ask(&self, path: &str, body: &Value) -> (u16, String) {
        let response = self.request(reqwest::Method::POST, path).json(body).send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a body"))
    }

    /// GET as JSON; `None` when there is no answer or no success.
    pub async fn try_get(&self, path: &str) -> Option<Value> {
        let response = self.request(reqwest::Method::GET, path).send().await.ok()?;
        response.error_for_status().ok()?.json().await.ok()
    }

    /// Uploads `content` and starts a batch of chat completions.
    pub async fn submit(&self, content: String) -> String {
        let part = reqwest::multipart::Part::bytes(content.into_bytes()).file_name("input.jsonl");
        let form = reqwest::multipart::Form::new().text("purpose", "batch").part("file", part);
        let file = self.made("/v1/files", |request| request.multipart(form).timeout(UPLOAD)).await;
        let create =
            json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
        let batch = self.made("/v1/batches", |request| request.json(&create)).await;
        batch["id"].as_str().expect("a batch id").to_owned()
    }

    /// What a POST has made.
    pub async fn made(
        &self,
        path: &str,
        body: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Value {
        let response = body(self.request(reqwest::Method::POST, path)).send().await.expect("an answer");
        let status = response.status();
        let answer = response.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {status} {answer}");
        serde_json::from_str(&answer).expect("JSON")
    }

    /// The content of a file, as text.
    pub async fn content(&self, file: &str) -> String {
        let response = self.request(reqwest::Method::GET, &format!("/v1/files/{file}/content")).send().await;
        let response = response.expect("an answer");
        response.error_for_status().expect("the file").text().await.expect("its text")
    }
}
