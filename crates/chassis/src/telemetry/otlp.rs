//! Exporters over OTLP/gRPC and the layer that turns spans into traces.

use domain::{Error, Result};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use std::time::Duration;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
/// What the exporter itself is made of: its spans would make spans for ever.
const OWN: [&str; 5] = ["h2", "hyper", "opentelemetry", "tonic", "tower"];

pub(super) fn metrics(endpoint: &str) -> Result<MetricExporter> {
    let exporter = MetricExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT);
    exporter.build().map_err(|error| refuse(endpoint, error))
}

pub(super) fn traces(endpoint: &str, ratio: f64, resource: Resource) -> Result<SdkTracerProvider> {
    if !(0.0..=1.0).contains(&ratio) {
        return Err(Error::invalid(format!("telemetry.trace_ratio = {ratio}: allowed is 0 to 1")));
    }
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT);
    let exporter = exporter.build().map_err(|error| refuse(endpoint, error))?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
    Ok(SdkTracerProvider::builder().with_resource(resource).with_sampler(sampler).with_batch_exporter(exporter).build())
}

pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let wanted = |metadata: &Metadata<'_>| {
        let root = metadata.target().split("::").next().unwrap_or_default();
        *metadata.level() <= Level::INFO && !OWN.iter().any(|own| root.starts_with(own))
    };
    tracing_opentelemetry::layer().with_tracer(provider.tracer("tandem")).with_filter(filter_fn(wanted))
}

fn refuse(endpoint: &str, error: ExporterBuildError) -> Error {
    let text = format!("telemetry.otlp_endpoint = \"{endpoint}\": give OTLP over gRPC as http://HOST:4317");
    Error::invalid(text).with_param("telemetry.otlp_endpoint").with_source(error)
}
