//! Every setting of the `orchestrator` process, and how other processes reach the models.

use chassis::{
    http::HttpSettings,
    jwt::IssuerUrl,
    process::{AdminSettings, DrainSettings},
    settings::Secret,
    telemetry::TelemetrySettings,
};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};
use url::Url;

/// The settings of the `orchestrator` process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The internal service.
    pub http: HttpSettings,
    /// The port for probes and metrics.
    pub admin: AdminSettings,
    /// Who may use the internal service.
    pub orchestrator: AccessSettings,
    /// The catalog.
    pub models: ModelsSettings,
    /// The end of the process.
    pub drain: DrainSettings,
    /// Log, traces, metrics.
    pub telemetry: TelemetrySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http: HttpSettings { bind: SocketAddr::from(([127, 0, 0, 1], 8081)), ..HttpSettings::default() },
            admin: AdminSettings::at_port(9091),
            orchestrator: AccessSettings::default(),
            models: ModelsSettings::default(),
            drain: DrainSettings::default(),
            telemetry: TelemetrySettings::default(),
        }
    }
}

/// Where models are described.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsSettings {
    /// The catalog file.
    pub file: PathBuf,
    /// Pause between looks at it, in milliseconds; a change is in use at most this long after.
    pub reload_ms: u64,
    /// The most bytes of answers that are kept to be given again.
    pub cache_bytes: u64,
    /// The names of the metrics of model calls.
    pub genai_conventions: GenAiConventions,
}

/// Which of OpenTelemetry's names for generative AI are used; they are being renamed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenAiConventions {
    /// `gen_ai.client.operation.*`, `gen_ai.client.token.usage`.
    #[default]
    Current,
    /// `gen_ai.client.inference.*`.
    Next,
}

impl Default for ModelsSettings {
    fn default() -> Self {
        Self {
            file: PathBuf::from("models.toml"),
            reload_ms: 2_000,
            cache_bytes: 64 << 20,
            genai_conventions: GenAiConventions::Current,
        }
    }
}

/// How a gateway or worker reaches the models.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrchestratorSettings {
    /// The orchestrator's address, as `http://orchestrator:8081`; none = route in this process.
    pub url: Option<Url>,
    /// The secret that the orchestrator shares with its callers.
    pub secret: Secret,
    /// For whom Google's ID tokens of this process's service account are made out: the orchestrator's own `audience`.
    pub audience: Option<String>,
}

/// Who may use the internal service of an orchestrator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessSettings {
    /// The secret that callers share with it.
    pub secret: Secret,
    /// For whom the ID tokens of its callers are made out, usually its own URL; none = tokens are not taken.
    pub audience: Option<String>,
    /// The addresses of the service accounts whose tokens are taken.
    pub service_accounts: Vec<String>,
    /// Who signs their tokens.
    pub issuer: IssuerUrl,
}

impl Default for AccessSettings {
    fn default() -> Self {
        let issuer = IssuerUrl::try_from("https://accounts.google.com".to_owned()).expect("Google's is an https URL");
        Self { secret: Secret::default(), audience: None, service_accounts: Vec::new(), issuer }
    }
}
