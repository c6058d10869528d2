//! The batch engine as a process of its own: `worker [settings.toml]`, with `TANDEM__...` over it. Run as many as you like.

use chassis::{
    process::{AdminSettings, DrainSettings, Process},
    telemetry::TelemetrySettings,
};
use orchestrator::settings::{ModelsSettings, OrchestratorSettings};
use queue::{BatchEvents, DoorbellSettings, EventsSettings, Replies, SubmissionsSettings, UsageEvents};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use store::DataSettings;
use webhooks::{Webhooks, WebhooksSettings};
use worker::{Worker, WorkerSettings};

/// Every setting of the `worker` process, with its default.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    admin: AdminSettings,
    data: DataSettings,
    doorbell: DoorbellSettings,
    submissions: SubmissionsSettings,
    orchestrator: OrchestratorSettings,
    models: ModelsSettings,
    worker: WorkerSettings,
    events: EventsSettings,
    webhooks: WebhooksSettings,
    drain: DrainSettings,
    telemetry: TelemetrySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            admin: AdminSettings::at_port(9092),
            data: DataSettings::default(),
            doorbell: DoorbellSettings::default(),
            submissions: SubmissionsSettings::default(),
            orchestrator: OrchestratorSettings::default(),
            models: ModelsSettings::default(),
            worker: WorkerSettings::default(),
            events: EventsSettings::default(),
            webhooks: WebhooksSettings::default(),
            drain: DrainSettings::default(),
            telemetry: TelemetrySettings::default(),
        }
    }
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
    let replies = Replies::new(&settings.events)?;
    let events = UsageEvents::new(settings.events, store.clone());
    let blobs = settings.data.open_blobs()?;
    let doorbell = queue::open(&settings.doorbell, &store)?;
    let backend = orchestrator::open(&settings.orchestrator, &settings.models, &mut process)?;
    let webhooks = Webhooks::new(settings.webhooks, store.clone())?;
    let submissions = settings.submissions.open(&settings.doorbell)?;
    let worker = Worker::new(store, blobs, doorbell, backend, settings.worker);
    let worker = worker.taking_in(submissions, settings.submissions, replies);
    process.support(|drain| events.run(drain.token()));
    process.support(|drain| told.run(drain.token()));
    process.part(|drain| worker.run(drain));
    process.part(|drain| webhooks.run(drain));
    Ok(process.run().await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// What `terraform output -json` says of the workers of an environment; where there is no project, its example.
    const EXAMPLES: [&str; 4] = [
        include_str!("../../infra/kubernetes/example/dev.json"),
        include_str!("../../infra/kubernetes/example/stage.json"),
        include_str!("../../infra/kubernetes/example/prod.json"),
        include_str!("../../infra/kubernetes/example/every-option.json"),
    ];

    #[test]
    fn what_manifests_set_are_settings_of_this_worker() {
        for example in EXAMPLES {
            let example: Value = serde_json::from_str(example).unwrap();
            for region in example["workers"]["value"].as_object().unwrap().values() {
                let env = region["env"].as_object().unwrap();
                let plain = env.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
                // In a pod these are files of Secret Manager.
                let hidden = region["secrets"].as_object().unwrap().keys().map(|name| (name.clone(), "x".to_owned()));

                let settings: Settings = chassis::settings::load(None, plain.chain(hidden)).unwrap();

                assert_eq!(settings.admin.bind.port(), 9092, "probes ask this port");
                assert!(settings.admin.bind.ip().is_unspecified(), "the kubelet asks from outside the pod");
                assert!(settings.data.database_url.contains("@127.0.0.1:5432/"), "the proxy is beside the worker");
            }
        }
    }
}
