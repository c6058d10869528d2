//! `tandem up`: the whole platform in one process. Reads as the list of its parts, in the order they start.

mod banner;
mod lock;
pub(crate) mod models;

use crate::{cli::UpArgs, settings::Settings};
use chassis::process::Process;
use domain::Scopes;
use gateway::Gateway;
use orchestrator::ModelBackend;
use queue::{BatchEvents, Doorbell, Replies, UsageEvents};
use std::sync::Arc;
use store::{Author, Blobs, NewKey, Store};
use tokio::net::TcpListener;
use webhooks::{Registrar, Webhooks};
use worker::Worker;

pub(crate) async fn run(settings: Settings, args: UpArgs) -> anyhow::Result<()> {
    // First, so that a second process hears of the folder and not of a port.
    let _lock = lock::data_folder(&settings.data)?;
    let mut process = Process::start(&settings.telemetry, &settings.admin, &settings.drain).await?;
    let store = settings.data.open().await?.publishing_usage(settings.events.publish_usage());
    let store = store.publishing_events(settings.events.publish_batches());
    store.migrate().await?;
    let blobs = settings.data.open_blobs()?;
    let api = chassis::http::bind(settings.http.bind).await?;
    let models = models::choose(&settings, &args, &mut process).await?;
    let doorbell = queue::open(&settings.doorbell, &store)?;

    let secret = first_key(&store, &settings.gateway.identity.environment).await?;
    banner::print(&settings, api.local_addr()?, &models.source, secret.as_deref(), models.example.as_deref());

    let events = UsageEvents::new(settings.events.clone(), store.clone());
    process.support(|drain| events.run(drain.token()));
    let told = BatchEvents::new(&settings.events, &settings.doorbell, store.clone())?;
    process.support(|drain| told.run(drain.token()));
    let webhooks = Webhooks::new(settings.webhooks.clone(), store.clone())?;
    process.part(|drain| webhooks.run(drain));
    let parts = Parts { store, blobs, doorbell, backend: models.backend };
    serve_api(&settings, parts.clone(), api, models.is_simulator, &mut process)?;
    let worker = worker(&settings, parts)?;
    process.part(|drain| worker.run(drain));
    Ok(process.run().await?)
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
    process: &mut Process,
) -> anyhow::Result<()> {
    let gateway = Arc::new(Gateway::new(
        settings.gateway.clone(),
        parts.store,
        parts.blobs,
        parts.doorbell,
        parts.backend,
        is_simulator,
        Registrar::new(&settings.webhooks)?,
        process.drain(),
    ));
    let routes = gateway.clone().routes(&settings.http);
    process.part(|drain| gateway.run_background(drain));
    process.part(|drain| chassis::http::serve(listener, routes, drain));
    Ok(())
}

fn worker(settings: &Settings, parts: Parts) -> anyhow::Result<Worker> {
    let submissions = settings.submissions.open(&settings.doorbell)?;
    let worker = Worker::new(parts.store, parts.blobs, parts.doorbell, parts.backend, settings.worker.clone());
    Ok(worker.taking_in(submissions, settings.submissions.clone(), Replies::new(&settings.events)?))
}

/// Makes the first admin key of a new installation; `None` when there are keys already.
async fn first_key(store: &Store, environment: &str) -> anyhow::Result<Option<String>> {
    if !store.list_keys(None, None, 1).await?.0.is_empty() {
        return Ok(None);
    }
    let tenant = store.ensure_tenant("default").await?;
    let new = NewKey { environment: environment.to_owned(), ..NewKey::named("first admin key", Scopes::ADMIN) };
    let (_, secret) = store.create_key_by(&Author::cli(), &tenant.id, &new).await?;
    Ok(Some(secret))
}
