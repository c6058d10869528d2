//! Log lines on standard error, metrics for `/metrics`, and both traces and metrics over OTLP when an endpoint is set.

mod filter;
mod json;
mod otlp;

use domain::{Error, Kind, Result};
use json::JsonLayer;
use opentelemetry::global;
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider, trace::SdkTracerProvider};
use prometheus::{Encoder, Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};
use tracing_subscriber::{Layer, Registry as Spans, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// Bucket boundaries for histograms of seconds; OpenTelemetry's default ones are made for milliseconds.
pub const SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Settings of telemetry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// What is logged: a level, or a list such as `info,store=debug`.
    pub log: String,
    /// How log lines look.
    pub format: LogFormat,
    /// OTLP over gRPC, such as `http://127.0.0.1:4317`. Nothing is exported when it is missing or empty.
    pub otlp_endpoint: Option<String>,
    /// `service.name` in exported data.
    pub service_name: String,
    /// The share of traces to export that no caller has decided about, 0 to 1.
    pub trace_ratio: f64,
    /// The project that traces belong to, which Cloud Logging wants in full names of traces.
    pub google_cloud_project: Option<String>,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: LogFormat::Auto,
            otlp_endpoint: None,
            service_name: "tandem".to_owned(),
            trace_ratio: 1.0,
            google_cloud_project: None,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For a person when standard output is a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line, with the fields that Cloud Logging reads.
    Json,
    /// For a person.
    Human,
}

impl LogFormat {
    fn is_human(self) -> bool {
        match self {
            Self::Auto => io::stdout().is_terminal(),
            Self::Json => false,
            Self::Human => true,
        }
    }
}

/// What was started, for the end of the process and for `/metrics`. Clones are the same telemetry.
#[derive(Clone)]
pub struct Telemetry(Arc<Parts>);

struct Parts {
    registry: Registry,
    metrics: SdkMeterProvider,
    traces: Option<SdkTracerProvider>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("exports_traces", &self.0.traces.is_some()).finish()
    }
}

/// Starts logging and metrics for the whole process; call it once, first, inside the runtime.
///
/// # Errors
/// `InvalidRequest` for settings that can't be used, `Conflict` when telemetry runs already.
pub fn init(settings: &TelemetrySettings) -> Result<Telemetry> {
    let filter = filter::parse(&settings.log)?;
    let telemetry = Telemetry::new(settings)?;
    let exported = telemetry.0.traces.as_ref().map(otlp::layer);
    Spans::default()
        .with(lines(settings, filter, exported.is_none()))
        .with(exported)
        .try_init()
        .map_err(|error| Error::new(Kind::Conflict, "telemetry runs already in this process").with_source(error))?;
    global::set_meter_provider(telemetry.0.metrics.clone());
    if let Some(traces) = &telemetry.0.traces {
        global::set_tracer_provider(traces.clone());
    }
    log_panics();
    Ok(telemetry)
}

impl Telemetry {
    /// Telemetry that is nobody's default: for tests, and for a process that embeds another.
    ///
    /// # Errors
    /// As [`init`].
    pub fn new(settings: &TelemetrySettings) -> Result<Self> {
        let resource = Resource::builder().with_service_name(settings.service_name.clone()).build();
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .map_err(Error::internal)?;
        let metrics = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader);
        let endpoint = settings.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
        let (metrics, traces) = match endpoint {
            Some(endpoint) => {
                let metrics = metrics.with_periodic_exporter(otlp::metrics(endpoint)?);
                (metrics, Some(otlp::traces(endpoint, settings.trace_ratio, resource)?))
            }
            None => (metrics, None),
        };
        Ok(Self(Arc::new(Parts { registry, metrics: metrics.build(), traces })))
    }

    /// Every metric in Prometheus' text format.
    #[must_use]
    pub fn prometheus_text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics could not be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Sends what has been recorded, giving up after five seconds. The last thing a process does.
    pub async fn flush(&self) {
        let parts = self.0.clone();
        // The exporters block the thread they are flushed on.
        let flushed = tokio::task::spawn_blocking(move || {
            let traces = parts.traces.as_ref().map_or(Ok(()), SdkTracerProvider::force_flush);
            traces.and(parts.metrics.force_flush())
        });
        match tokio::time::timeout(FLUSH_LIMIT, flushed).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "telemetry could not be sent"),
            Ok(Err(error)) => tracing::warn!(%error, "telemetry could not be sent"),
            Err(_elapsed) => tracing::warn!("telemetry could not be sent in time"),
        }
    }
}

/// The log. A filter of one layer among several looks at what it thinks of a span whenever that is entered, with each token of a
/// stream, so that where nothing else listens it filters for all.
fn lines(settings: &TelemetrySettings, filter: Targets, is_alone: bool) -> Box<dyn Layer<Spans> + Send + Sync> {
    let lines = if settings.format.is_human() {
        let layer = tracing_subscriber::fmt::layer().compact().with_ansi(io::stderr().is_terminal());
        layer.with_writer(io::stderr).boxed()
    } else {
        JsonLayer::new(io::stderr, settings.google_cloud_project.clone()).boxed()
    };
    if is_alone { filter.and_then(lines).boxed() } else { lines.with_filter(filter).boxed() }
}

/// A panic becomes a log line like any other, wherever it happens.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(panic.at = at, panic.backtrace = %backtrace, "panicked: {text}");
    }));
}
