//! Telemetry that can't be started. (What it sends is in `exported.rs`, which needs a process of its own.)

use chassis::telemetry::{Telemetry, TelemetrySettings};

#[tokio::test]
async fn a_wrong_endpoint_is_refused_with_an_example() {
    let settings = TelemetrySettings { otlp_endpoint: Some("not a url".to_owned()), ..TelemetrySettings::default() };

    let text = Telemetry::new(&settings).unwrap_err().to_string();

    assert!(text.contains("telemetry.otlp_endpoint") && text.contains("http://HOST:4317"), "{text}");
}

#[tokio::test]
async fn a_share_of_traces_is_at_most_all_of_them() {
    let endpoint = Some("http://127.0.0.1:4317".to_owned());
    let settings = TelemetrySettings { otlp_endpoint: endpoint, trace_ratio: 1.5, ..TelemetrySettings::default() };

    let text = Telemetry::new(&settings).unwrap_err().to_string();

    assert!(text.contains("telemetry.trace_ratio = 1.5") && text.contains("0 to 1"), "{text}");
}
