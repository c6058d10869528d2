//! The state of the gateway, its table of routes and what it does in the background.

use crate::{GatewaySettings, auth, auth::Keys, batches, files, home, inference, models, replay::Replays, words};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use chassis::{drain::Drain, http::HttpSettings};
use orchestrator::ModelBackend;
use queue::Doorbell;
use std::{sync::Arc, time::Duration};
use store::{Blobs, Store};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Room for the parts of a form around the file itself.
const FORM_OVERHEAD_BYTES: u64 = 1024 * 1024;

/// Everything a handler may need.
pub struct Gateway {
    pub(crate) settings: GatewaySettings,
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) doorbell: Arc<dyn Doorbell>,
    pub(crate) backend: Arc<dyn ModelBackend>,
    pub(crate) is_simulator: bool,
    pub(crate) drain: Drain,
    pub(crate) keys: Keys,
    /// Uploads go on to their clean-up when the client has gone.
    pub(crate) uploads: TaskTracker,
    pub(crate) replays: Replays,
}

/// What the handlers are given.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) limits: Limits,
}

/// The bounds that come with the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) json_bytes: usize,
    pub(crate) request_timeout: Duration,
}

impl Gateway {
    /// Puts the parts together; nothing runs before [`Gateway::routes`] and [`Gateway::run_background`].
    /// `is_simulator` only changes what the start page says.
    #[expect(clippy::too_many_arguments, reason = "one argument a part, called once by each topology")]
    pub fn new(
        settings: GatewaySettings,
        store: Store,
        blobs: Blobs,
        doorbell: Arc<dyn Doorbell>,
        backend: Arc<dyn ModelBackend>,
        is_simulator: bool,
        drain: Drain,
    ) -> Self {
        let keys = Keys::new(store.clone(), Duration::from_millis(settings.keys_miss_refresh_ms));
        let uploads = TaskTracker::new();
        let replays = Replays::new(settings.replay.clone());
        Self { settings, store, blobs, doorbell, backend, is_simulator, drain, keys, uploads, replays }
    }

    /// The public API, ready to serve.
    pub fn routes(self: Arc<Self>, http: &HttpSettings) -> Router {
        let limits = Limits { json_bytes: http.max_body_bytes, request_timeout: http.request_timeout };
        let form_bytes = to_usize(self.largest_file() + FORM_OVERHEAD_BYTES);
        let app = App { gateway: self, limits };
        let routes = api(form_bytes)
            .route_layer(middleware::from_fn_with_state(app.clone(), auth::require_key))
            .route_layer(middleware::from_fn(words::of_the_api))
            .route("/", get(home::page))
            .with_state(app);
        chassis::http::shell(routes, http)
    }

    /// Keeps the keys fresh and removes expired outcomes until the drain begins, then waits for uploads that are cleaning up
    /// and for requests whose clients may come back.
    ///
    /// # Errors
    /// None today: a failed refresh is logged and tried again.
    pub async fn run_background(self: Arc<Self>, drain: Drain) -> domain::Result<()> {
        let begun = drain.token();
        tokio::join!(self.refresh_keys(&begun), self.replays.purge(&self.store, &begun));
        self.uploads.close();
        let expired = drain.expired();
        tokio::join!(expired.run_until_cancelled(self.uploads.wait()), self.replays.drained(&expired));
        Ok(())
    }

    async fn refresh_keys(&self, begun: &CancellationToken) {
        let period = Duration::from_millis(self.settings.keys_refresh_ms.max(1));
        while begun.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
            if let Err(error) = self.keys.refresh().await {
                tracing::warn!(error = %error.chain(), "the keys can't be read; the last known ones stay in force");
            }
        }
    }

    pub(crate) fn largest_file(&self) -> u64 {
        self.settings.max_file_bytes.max(self.settings.max_batch_file_bytes)
    }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn api(form_bytes: usize) -> Router<App> {
    let files = get(files::list).merge(post(files::create).layer(DefaultBodyLimit::max(form_bytes)));
    Router::new()
        .route("/v1/chat/completions", post(inference::chat))
        .route("/v1/completions", post(inference::completions))
        .route("/v1/embeddings", post(inference::embeddings))
        .route("/v1/responses", post(inference::responses))
        .route("/v1/messages", post(inference::messages))
        .route("/v1/messages/count_tokens", post(inference::count_tokens))
        .route("/v1/models", get(models::list))
        // Names of models may contain slashes.
        .route("/v1/models/{*id}", get(models::one))
        .route("/v1/files", files)
        .route("/v1/files/{id}", get(files::one).delete(files::delete))
        .route("/v1/files/{id}/content", get(files::content))
        .route("/v1/batches", get(batches::list).post(batches::create))
        .route("/v1/batches/{id}", get(batches::one))
        .route("/v1/batches/{id}/cancel", post(batches::cancel))
}
