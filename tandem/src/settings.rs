//! Every setting of the one-process topology, with its default. Nested parts belong to the crates that use them.

use anyhow::Context;
use chassis::{
    http::HttpSettings,
    process::{AdminSettings, DrainSettings},
    telemetry::TelemetrySettings,
};
use gateway::GatewaySettings;
use orchestrator::settings::{ModelsSettings, OrchestratorSettings};
use queue::{DoorbellSettings, EventsSettings, SubmissionsSettings};
use serde::{Deserialize, Serialize};
use simulator::SimulatorSettings;
use std::path::Path;
use store::DataSettings;
use webhooks::WebhooksSettings;
use worker::WorkerSettings;

/// The settings of `tandem`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) http: HttpSettings,
    pub(crate) admin: AdminSettings,
    pub(crate) data: DataSettings,
    pub(crate) doorbell: DoorbellSettings,
    pub(crate) submissions: SubmissionsSettings,
    pub(crate) orchestrator: OrchestratorSettings,
    pub(crate) models: ModelsSettings,
    pub(crate) drain: DrainSettings,
    pub(crate) telemetry: TelemetrySettings,
    pub(crate) gateway: GatewaySettings,
    pub(crate) worker: WorkerSettings,
    pub(crate) events: EventsSettings,
    pub(crate) webhooks: WebhooksSettings,
    pub(crate) simulator: SimulatorSettings,
}

/// Reads defaults, then the file, then `TANDEM__SECTION__KEY` from the environment.
pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Settings> {
    let default = Path::new("tandem.toml");
    let file = file.or_else(|| default.exists().then_some(default));
    chassis::settings::load(file, std::env::vars()).context("the settings can't be used")
}
