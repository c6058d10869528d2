//! A gateway to test, called without a socket.

use crate::model::Script;
use axum::{
    Router,
    body::{Body, Bytes},
};
use chassis::{drain::Drain, http::HttpSettings};
use domain::Scopes;
use gateway::{Gateway, GatewaySettings, ImportsSettings, ReplaySettings, UploadsSettings, identity::IdentitySettings};
use http::{HeaderMap, Request, Response, StatusCode, request::Builder};
use http_body_util::BodyExt;
use queue::{Doorbell, Embedded};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use store::{Blobs, NewKey, Store};
use tempfile::TempDir;
use tower::ServiceExt;
use webhooks::{Registrar, WebhooksSettings};

pub(crate) const BOUNDARY: &str = "boundary-of-the-test";
pub(crate) const MAX_JSON: usize = 64 * 1024;
pub(crate) const MAX_BATCH_FILE: u64 = 256 * 1024;
pub(crate) const MAX_FILE: u64 = 512 * 1024;
pub(crate) const MAX_UPLOAD: u64 = 1024 * 1024;
pub(crate) const MAX_PART: u64 = 128 * 1024;

pub(crate) struct TestApp {
    pub(crate) folder: Arc<TempDir>,
    pub(crate) store: Store,
    pub(crate) drain: Drain,
    pub(crate) gateway: Arc<Gateway>,
    router: Router,
    /// A key of the tenant `acme`.
    pub(crate) key: String,
    /// A key of another tenant.
    pub(crate) stranger: String,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The `error` object, after a look at its shape.
    pub(crate) fn error(&self) -> Value {
        let error = self.json()["error"].clone();
        let keys: Vec<_> = error.as_object().expect("an error object").keys().cloned().collect();
        assert_eq!(keys, ["message", "type", "param", "code"], "{error}");
        error
    }

    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::with(Script::default()).await
    }

    pub(crate) async fn with(script: Script) -> Self {
        Self::with_doorbell(script, |store| Arc::new(Embedded::new(store))).await
    }

    pub(crate) async fn with_doorbell(script: Script, doorbell: impl FnOnce(Store) -> Arc<dyn Doorbell>) -> Self {
        Self::build(script, doorbell, ReplaySettings::default()).await
    }

    pub(crate) async fn with_replay(script: Script, replay: ReplaySettings) -> Self {
        Self::build(script, |store| Arc::new(Embedded::new(store)), replay).await
    }

    async fn build(script: Script, doorbell: impl FnOnce(Store) -> Arc<dyn Doorbell>, replay: ReplaySettings) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let store = Store::open(&format!("sqlite://{}", folder.path().join("t.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let doorbell = doorbell(store.clone());
        let key = new_key(&store, "acme").await.1;
        let stranger = new_key(&store, "stranger").await.1;
        Self::over(folder, store, script, doorbell, replay, (key, stranger))
    }

    /// Another gateway on the same store.
    pub(crate) fn beside(&self, script: Script) -> Self {
        self.beside_with(script, ReplaySettings::default())
    }

    /// The same with other settings of replays.
    pub(crate) fn beside_with(&self, script: Script, replay: ReplaySettings) -> Self {
        let (folder, store) = (Arc::clone(&self.folder), self.store.clone());
        let doorbell = Arc::new(Embedded::new(store.clone()));
        let keys = (self.key.clone(), self.stranger.clone());
        Self::over(folder, store, script, doorbell, replay, keys)
    }

    fn over(
        folder: Arc<TempDir>,
        store: Store,
        script: Script,
        doorbell: Arc<dyn Doorbell>,
        replay: ReplaySettings,
        (key, stranger): (String, String),
    ) -> Self {
        Self::over_blobs(folder, store, script, doorbell, (replay, ImportsSettings::default()), (key, stranger), None)
    }

    /// On objects at this endpoint, of which those in `imports` may be imported.
    pub(crate) async fn in_a_bucket(endpoint: &str, imports: ImportsSettings) -> Self {
        let app = Self::start().await;
        let (folder, store) = (Arc::clone(&app.folder), app.store.clone());
        let doorbell = Arc::new(Embedded::new(store.clone()));
        let keys = (app.key.clone(), app.stranger.clone());
        let settings = (ReplaySettings::default(), imports);
        Self::over_blobs(folder, store, Script::default(), doorbell, settings, keys, Some(endpoint))
    }

    #[expect(clippy::too_many_arguments, reason = "one argument a part")]
    fn over_blobs(
        folder: Arc<TempDir>,
        store: Store,
        script: Script,
        doorbell: Arc<dyn Doorbell>,
        (replay, imports): (ReplaySettings, ImportsSettings),
        (key, stranger): (String, String),
        endpoint: Option<&str>,
    ) -> Self {
        let blobs = match endpoint {
            None => Blobs::open(&format!("file://{}", folder.path().join("blobs").display())).unwrap(),
            Some(endpoint) => Blobs::open_at("gs://blobs/files", Some(endpoint)).unwrap(),
        };
        let drain = Drain::new(Duration::from_millis(50));
        let settings = GatewaySettings {
            max_batch_file_bytes: MAX_BATCH_FILE,
            max_file_bytes: MAX_FILE,
            keys_refresh_ms: 10,
            keys_miss_refresh_ms: 1,
            identity: IdentitySettings { last_used_ms: 10, ..IdentitySettings::default() },
            replay,
            imports,
            uploads: UploadsSettings { max_bytes: MAX_UPLOAD, max_part_bytes: MAX_PART, ..UploadsSettings::default() },
            ..GatewaySettings::default()
        };
        let (backend, registrar) = (Arc::new(script), Registrar::new(&WebhooksSettings::default()).unwrap());
        let gateway = Gateway::new(settings, store.clone(), blobs, doorbell, backend, true, registrar, drain.clone());
        let gateway = Arc::new(gateway);
        let http = HttpSettings { max_body_bytes: MAX_JSON, ..HttpSettings::default() };
        let router = Arc::clone(&gateway).routes(&http);
        Self { folder, store, drain, gateway, router, key, stranger }
    }

    /// The head of the answer, and its body as it comes.
    pub(crate) async fn open(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// Fails where a real client would see the connection break.
    pub(crate) async fn try_send(&self, request: Request<Body>) -> Result<Answer, axum::Error> {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// The router as its debug text has it.
    pub(crate) fn router_text(&self) -> String {
        format!("{:?}", self.router)
    }

    /// A request with the key of `acme`.
    pub(crate) fn request(&self, method: &str, path: &str) -> Builder {
        as_key(&self.key, method, path)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.try_post(path, body).await.unwrap()
    }

    pub(crate) async fn try_post(&self, path: &str, body: Value) -> Result<Answer, axum::Error> {
        let request = self.request("POST", path).header("content-type", "application/json");
        self.try_send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(crate) async fn post_form(&self, body: impl Into<Body>) -> Answer {
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = self.request("POST", "/v1/files").header("content-type", content_type);
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Uploads a file of purpose `batch` and gives its id.
    pub(crate) async fn upload(&self, content: &str) -> String {
        let form = form(&[("purpose", "batch")], Some(("in.jsonl", content)));
        let file = self.post_form(form).await.ok();
        file["id"].as_str().unwrap().to_owned()
    }

    /// Every file below the folder of blobs.
    pub(crate) fn blob_files(&self) -> Vec<std::path::PathBuf> {
        files_below(&self.folder.path().join("blobs"))
    }

    pub(crate) async fn file_rows(&self) -> usize {
        self.get("/v1/files").await.ok()["data"].as_array().unwrap().len()
    }
}

pub(crate) fn as_key(key: &str, method: &str, path: &str) -> Builder {
    Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"))
}

/// A key that may do all that users may.
pub(crate) async fn new_key(store: &Store, tenant: &str) -> (domain::KeyId, String) {
    key_like(store, tenant, &NewKey::named("test", Scopes::USER)).await
}

pub(crate) async fn key_like(store: &Store, tenant: &str, new: &NewKey) -> (domain::KeyId, String) {
    let tenant = store.ensure_tenant(tenant).await.unwrap();
    let (key, secret) = store.create_key(&tenant.id, new).await.unwrap();
    (key.id, secret)
}

/// A form of text parts and, last, a file.
pub(crate) fn form(texts: &[(&str, &str)], file: Option<(&str, &str)>) -> String {
    let mut body: String = texts.iter().map(|(name, value)| text_part(name, value)).collect();
    if let Some((name, content)) = file {
        body += &file_part(name, content);
    }
    body + &form_end()
}

pub(crate) fn text_part(name: &str, value: &str) -> String {
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

pub(crate) fn file_part(filename: &str, content: &str) -> String {
    format!("{}{content}\r\n", file_head(filename))
}

pub(crate) fn file_head(filename: &str) -> String {
    format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{filename}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
}

pub(crate) fn form_end() -> String {
    format!("--{BOUNDARY}--\r\n")
}

pub(crate) fn line(custom_id: &str) -> String {
    format!(
        "{{\"custom_id\":\"{custom_id}\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\
         \"body\":{{\"model\":\"m\",\"messages\":[]}}}}\n"
    )
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}
