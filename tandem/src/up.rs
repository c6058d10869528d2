//! `tandem up`: the whole platform in one process. Reads as the list of its parts, in the order they start.

mod banner;
mod lock;
pub(crate) mod models;

use crate::{cli::UpArgs, migrate, settings::Settings};
use chassis::drain::{self, Drain, Readiness};
use gateway::Gateway;
use orchestrator::{ModelBackend, Router, UpstreamClient};
use queue::{Doorbell, Embedded};
use std::{sync::Arc, time::Duration};
use store::{Blobs, Store};
use tokio::{net::TcpListener, task::JoinSet};
use worker::Worker;

type Tasks = JoinSet<domain::Result<()>>;

pub(crate) async fn run(settings: Settings, args: UpArgs) -> anyhow::Result<()> {
    let telemetry = chassis::telemetry::init(&settings.telemetry)?;
    let drain = Drain::new(Duration::from_secs(settings.drain.grace_secs));
    let _lock = lock::data_folder(&settings.data)?;
    let store = migrate::open(&settings).await?;
    store.migrate().await?;
    let blobs = Blobs::open(&settings.data.blobs())?;
    let api = chassis::http::bind(settings.http.bind).await?;
    let admin = chassis::http::bind(settings.admin.bind).await?;

    let mut tasks = Tasks::new();
    let models = models::choose(&settings, &args, &mut tasks, &drain).await?;
    let backend: Arc<dyn ModelBackend> = Arc::new(Router::new(models.catalog, UpstreamClient::new()));
    let doorbell: Arc<dyn Doorbell> = Arc::new(Embedded::new(store.clone()));
    let parts = Parts { store: store.clone(), blobs, doorbell, backend };

    let secret = first_key(&store).await?;
    banner::print(&settings, api.local_addr()?, &models.source, secret.as_deref(), models.example.as_deref());

    let readiness = Readiness::new(&drain);
    tasks.spawn(chassis::http::serve(admin, chassis::http::admin_routes(readiness, telemetry.clone()), drain.clone()));
    serve_api(&settings, parts.clone(), api, models.is_simulator, &drain, &mut tasks);
    tasks.spawn(worker(&settings, parts).run(drain.clone()));

    let outcome = run_until_told(&drain, &mut tasks).await;
    telemetry.flush().await;
    outcome
}

/// What gateway and worker share.
#[derive(Clone)]
struct Parts {
    store: Store,
    blobs: Blobs,
    doorbell: Arc<dyn Doorbell>,
    backend: Arc<dyn ModelBackend>,
}

fn serve_api(
    settings: &Settings,
    parts: Parts,
    listener: TcpListener,
    is_simulator: bool,
    drain: &Drain,
    tasks: &mut Tasks,
) {
    let gateway = Arc::new(Gateway::new(
        settings.gateway.clone(),
        parts.store,
        parts.blobs,
        parts.doorbell,
        parts.backend,
        is_simulator,
        drain.clone(),
    ));
    tasks.spawn(gateway.clone().run_background(drain.clone()));
    tasks.spawn(chassis::http::serve(listener, gateway.routes(&settings.http), drain.clone()));
}

fn worker(settings: &Settings, parts: Parts) -> Worker {
    Worker::new(parts.store, parts.blobs, parts.doorbell, parts.backend, settings.worker.clone())
}

/// Makes the first admin key of a new installation; `None` when there are keys already.
async fn first_key(store: &Store) -> anyhow::Result<Option<String>> {
    if !store.list_keys().await?.is_empty() {
        return Ok(None);
    }
    let tenant = store.ensure_tenant("default").await?;
    let (_, secret) = store.create_key(&tenant.id, "first admin key", true).await?;
    Ok(Some(secret))
}

/// Waits for a signal or for a part that fails, then drains the rest.
async fn run_until_told(drain: &Drain, tasks: &mut Tasks) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    tokio::select! {
        () = drain::signal() => tracing::info!("draining: new work is refused, work in flight may finish"),
        Some(ended) = tasks.join_next() => outcome = flatten(ended),
    }
    drain.begin();
    while let Some(ended) = tasks.join_next().await {
        outcome = outcome.and(flatten(ended));
    }
    outcome
}

fn flatten(ended: Result<domain::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    Ok(ended??)
}
