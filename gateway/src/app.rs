//! The state of the gateway, its table of routes and what it does in the background.

use crate::{
    GatewaySettings, admin, batches, files, home,
    identity::{self, Guard, Identity},
    inference,
    ledger::{Ledger, Prices},
    limits::Limits,
    models, openapi,
    overload::Overload,
    replay::Replays,
    uploads, usage, webhooks as hooks, words,
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    middleware,
    routing::{get, post},
};
use chassis::{drain::Drain, http::HttpSettings};
use domain::Scope;
use orchestrator::ModelBackend;
use queue::Doorbell;
use std::{sync::Arc, time::Duration};
use store::{Blobs, Store};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use webhooks::Registrar;

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
    pub(crate) identity: Identity,
    pub(crate) overload: Overload,
    pub(crate) prices: Prices,
    pub(crate) limits: Arc<Limits>,
    pub(crate) ledger: Arc<Ledger>,
    /// Uploads go on to their clean-up when the client has gone.
    pub(crate) uploads: TaskTracker,
    pub(crate) replays: Replays,
    pub(crate) registrar: Registrar,
}

/// What the handlers are given.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) bounds: Bounds,
}

/// The bounds that come with the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
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
        registrar: Registrar,
        drain: Drain,
    ) -> Self {
        let miss_interval = Duration::from_millis(settings.keys_miss_refresh_ms);
        let identity = Identity::new(&settings.identity, store.clone(), miss_interval);
        let limits = Arc::new(Limits::new(settings.limits.clone(), store.clone()));
        let ledger = Arc::new(Ledger::new(settings.ledger.clone(), store.clone()));
        Self {
            overload: Overload::new(settings.overload.clone()),
            prices: Prices::default(),
            uploads: TaskTracker::new(),
            replays: Replays::new(settings.replay.clone()),
            settings,
            store,
            blobs,
            doorbell,
            backend,
            is_simulator,
            drain,
            identity,
            limits,
            ledger,
            registrar,
        }
    }

    /// The public API, ready to serve.
    pub fn routes(self: Arc<Self>, http: &HttpSettings) -> Router {
        let bounds = Bounds { json_bytes: http.max_body_bytes, request_timeout: http.request_timeout };
        let form_bytes = to_usize(self.largest_file() + FORM_OVERHEAD_BYTES);
        let app = App { gateway: self, bounds };
        let part_bytes = to_usize(app.gateway.settings.uploads.max_part_bytes + FORM_OVERHEAD_BYTES);
        let routes =
            api(&app, form_bytes, part_bytes).route("/", get(home::page)).merge(openapi::routes()).with_state(app);
        chassis::http::shell(routes, http)
    }

    /// Keeps keys, issuers, limits and prices fresh, measures the batch backlog and removes expired outcomes until the drain begins;
    /// writes the ledger and settles limits until the last request has ended; waits for uploads that are cleaning up and for requests whose clients may come back.
    ///
    /// # Errors
    /// None today: what fails is logged and tried again.
    pub async fn run_background(self: Arc<Self>, drain: Drain) -> domain::Result<()> {
        let begun = drain.token();
        let refresh = Duration::from_millis(self.settings.keys_refresh_ms.max(1));
        let snapshots = async {
            tokio::join!(self.identity.follow(refresh, &drain), self.keep_fresh(refresh, &begun));
        };
        let ledger = async {
            tokio::join!(self.ledger.run(drain.clone()), self.ledger.age(drain.clone()));
        };
        let limits = self.limits.clone().run(drain.clone());
        let backlog_period = Duration::from_millis(self.settings.backlog_ms.max(1));
        let backlog = batches::backlog::report(&self.store, backlog_period, &begun);
        tokio::join!(snapshots, limits, ledger, backlog, self.replays.purge(&self.store, &begun), self.finish(&drain));
        Ok(())
    }

    async fn keep_fresh(&self, period: Duration, begun: &CancellationToken) {
        while begun.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
            for (what, read) in
                [("limits", self.limits.refresh().await), ("prices", self.prices.refresh(&*self.backend).await)]
            {
                if let Err(error) = read {
                    tracing::warn!(error = %error.chain(), "the {what} can't be read; the last known ones stay in force");
                }
            }
        }
    }

    /// Waits for what goes on without its client.
    async fn finish(&self, drain: &Drain) {
        drain.begun().await;
        self.uploads.close();
        let expired = drain.expired();
        tokio::join!(expired.run_until_cancelled(self.uploads.wait()), self.replays.drained(&expired));
        self.identity.note_uses().await;
    }

    pub(crate) fn largest_file(&self) -> u64 {
        self.settings.max_file_bytes.max(self.settings.max_batch_file_bytes)
    }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Every route, behind the scope that it needs.
fn api(app: &App, form_bytes: usize, part_bytes: usize) -> Router<App> {
    let guard = |scope| identity::guard(scope, app);
    Router::new()
        .merge(call_routes(&guard(Scope::Inference)))
        .merge(model_routes().route_layer(guard(Scope::Inference)))
        .merge(
            message_routes().route_layer(guard(Scope::Inference)).route_layer(middleware::from_fn(words::of_anthropic)),
        )
        .merge(file_routes(form_bytes).route_layer(guard(Scope::Files)))
        .merge(upload_routes(part_bytes).route_layer(guard(Scope::Files)))
        .merge(batch_routes().route_layer(guard(Scope::Batches)))
        .merge(hooks::routes().route_layer(guard(Scope::Batches)))
        .merge(Router::new().route("/v1/usage", get(usage::own)).route_layer(guard(Scope::Usage)))
        .merge(admin::routes().route_layer(guard(Scope::Admin)))
}

/// The calls that there are most of. Their guard is a part of the handler: as a layer of the route it would cost each request a service
/// and a future on the heap more, twice.
fn call_routes(guard: &Guard) -> Router<App> {
    Router::new()
        .route("/v1/chat/completions", post(inference::chat.layer(guard.clone())))
        .route("/v1/completions", post(inference::completions.layer(guard.clone())))
        .route("/v1/embeddings", post(inference::embeddings.layer(guard.clone())))
        .route("/v1/responses", post(inference::responses.layer(guard.clone())))
}

fn model_routes() -> Router<App> {
    Router::new()
        .route("/v1/models", get(models::list))
        // Names of models may contain slashes.
        .route("/v1/models/{*id}", get(models::one))
}

/// Anthropic's API.
fn message_routes() -> Router<App> {
    Router::new()
        .route("/v1/messages", post(inference::messages))
        .route("/v1/messages/count_tokens", post(inference::count_tokens))
}

fn file_routes(form_bytes: usize) -> Router<App> {
    let files = get(files::list).merge(post(files::create).layer(DefaultBodyLimit::max(form_bytes)));
    Router::new()
        .route("/v1/files", files)
        .route("/v1/files/{id}", get(files::one).delete(files::delete))
        .route("/v1/files/{id}/content", get(files::content))
}

fn upload_routes(part_bytes: usize) -> Router<App> {
    let parts = post(uploads::add_part).layer(DefaultBodyLimit::max(part_bytes));
    Router::new()
        .route("/v1/uploads", post(uploads::create))
        .route("/v1/uploads/{id}/parts", parts)
        .route("/v1/uploads/{id}/complete", post(uploads::complete))
        .route("/v1/uploads/{id}/cancel", post(uploads::cancel))
}

fn batch_routes() -> Router<App> {
    Router::new()
        .route("/v1/batches", get(batches::list).post(batches::create))
        .route("/v1/batches/quote", post(batches::quote::quote))
        .route("/v1/batches/{id}", get(batches::one).patch(batches::controls::patch))
        .route("/v1/batches/{id}/pause", post(batches::controls::pause))
        .route("/v1/batches/{id}/resume", post(batches::controls::resume))
        .route("/v1/batches/{id}/cancel", post(batches::cancel))
        .route("/v1/batches/{id}/results", get(batches::results::read))
        .route("/v1/batches/{id}/audit", get(batches::audit::read))
        .route("/v1/batches/{id}/redrive", post(batches::redrive::create))
}
