//! What is measured of webhooks.

use domain::{AttemptOutcome, DisabledReason};
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram},
};
use store::DeliveriesState;

/// Seconds.
const BOUNDARIES: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0];

/// The instruments of one sender.
pub(crate) struct Instruments {
    attempts: Counter<u64>,
    duration: Histogram<f64>,
    given_up: Counter<u64>,
    disabled: Counter<u64>,
    unsigned: Counter<u64>,
    unrecorded: Counter<u64>,
    waiting: Gauge<i64>,
    oldest: Gauge<f64>,
    late: Gauge<f64>,
}

impl Instruments {
    pub(crate) fn new() -> Self {
        let meter = global::meter("tandem.webhooks");
        let counter = |name, description| meter.u64_counter(name).with_description(description).build();
        let seconds = |name, description| meter.f64_gauge(name).with_unit("s").with_description(description).build();
        Self {
            attempts: counter("tandem.webhooks.attempts", "Attempts to deliver, by how they ended"),
            duration: meter
                .f64_histogram("tandem.webhooks.duration")
                .with_unit("s")
                .with_description("How long attempts took")
                .with_boundaries(BOUNDARIES.to_vec())
                .build(),
            given_up: counter("tandem.webhooks.given_up", "Deliveries that were given up"),
            disabled: counter("tandem.webhooks.disabled", "Webhooks that were disabled, by why"),
            unsigned: counter(
                "tandem.webhooks.unsigned",
                "Attempts not made because no key opens the webhook's secret",
            ),
            unrecorded: counter("tandem.webhooks.unrecorded", "Attempts that could not be recorded and are made again"),
            waiting: meter
                .i64_gauge("tandem.webhooks.waiting")
                .with_description("Deliveries that have not arrived yet")
                .build(),
            oldest: seconds("tandem.webhooks.oldest", "Age of the oldest of them"),
            late: seconds("tandem.webhooks.late", "For how long one has been due that nobody tries"),
        }
    }

    pub(crate) fn attempted(&self, outcome: AttemptOutcome, took_ms: i64) {
        self.attempts.add(1, &[KeyValue::new("outcome", outcome.as_str())]);
        self.duration.record(took_ms as f64 / 1_000.0, &[]);
    }

    pub(crate) fn gave_up(&self) {
        self.given_up.add(1, &[]);
    }

    pub(crate) fn disabled(&self, reason: DisabledReason) {
        self.disabled.add(1, &[KeyValue::new("reason", reason.as_str())]);
    }

    pub(crate) fn unsigned(&self) {
        self.unsigned.add(1, &[]);
    }

    pub(crate) fn unrecorded(&self) {
        self.unrecorded.add(1, &[]);
    }

    pub(crate) fn measured(&self, state: DeliveriesState) {
        self.waiting.record(state.waiting, &[]);
        self.oldest.record(state.oldest_ms as f64 / 1_000.0, &[]);
        self.late.record(state.late_ms as f64 / 1_000.0, &[]);
    }
}
