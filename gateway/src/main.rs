//! The public API as a process of its own: `gateway [settings.toml]`, with `TANDEM__...` over it.

use chassis::{
    http::{self, HttpSettings},
    process::{AdminSettings, DrainSettings, Process},
    telemetry::TelemetrySettings,
};
use gateway::{Gateway, GatewaySettings};
use orchestrator::settings::{ModelsSettings, OrchestratorSettings};
use queue::{BatchEvents, DoorbellSettings, EventsSettings, UsageEvents};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};
use store::DataSettings;
use webhooks::{Registrar, WebhooksSettings};

/// Every setting of the `gateway` process, with its default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    http: HttpSettings,
    admin: AdminSettings,
    data: DataSettings,
    doorbell: DoorbellSettings,
    orchestrator: OrchestratorSettings,
    models: ModelsSettings,
    gateway: GatewaySettings,
    events: EventsSettings,
    webhooks: WebhooksSettings,
    drain: DrainSettings,
    telemetry: TelemetrySettings,
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let settings: Settings = chassis::settings::load(file.as_deref(), std::env::vars())?;
    let mut process = Process::start(&settings.telemetry, &settings.admin, &settings.drain).await?;
    let store = settings.data.open_shared().await?.publishing_usage(settings.events.publish_usage());
    let store = store.publishing_events(settings.events.publish_batches());
    let told = BatchEvents::new(&settings.events, &settings.doorbell, store.clone())?;
    let events = UsageEvents::new(settings.events, store.clone());
    let blobs = settings.data.open_blobs()?;
    let doorbell = queue::open(&settings.doorbell, &store)?;
    let backend = orchestrator::open(&settings.orchestrator, &settings.models, &mut process)?;
    let registrar = Registrar::new(&settings.webhooks)?;
    let gateway = Gateway::new(settings.gateway, store, blobs, doorbell, backend, false, registrar, process.drain());
    let gateway = Arc::new(gateway);
    let listener = http::bind(settings.http.bind).await?;
    let routes = gateway.clone().routes(&settings.http);
    process.support(|drain| events.run(drain.token()));
    process.support(|drain| told.run(drain.token()));
    process.part(|drain| gateway.run_background(drain));
    process.part(|drain| http::serve(listener, routes, drain));
    Ok(process.run().await?)
}
