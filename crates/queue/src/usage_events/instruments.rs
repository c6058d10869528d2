//! What is measured of usage events.

use opentelemetry::{
    global,
    metrics::{Counter, Gauge},
};
use store::OutboxState;

/// The instruments of one publisher.
pub(super) struct Instruments {
    published: Counter<u64>,
    failures: Counter<u64>,
    waiting: Gauge<i64>,
    oldest: Gauge<f64>,
}

impl Instruments {
    pub(super) fn new() -> Self {
        let meter = global::meter("tandem.queue");
        let counter = |name, description| meter.u64_counter(name).with_description(description).build();
        Self {
            published: counter("tandem.usage_events.published", "Usage events that the topic took"),
            failures: counter("tandem.usage_events.failures", "Rounds of publishing usage events that failed"),
            waiting: meter
                .i64_gauge("tandem.usage_events.waiting")
                .with_description("Usage events in the outbox, not counted beyond 100,000")
                .build(),
            oldest: meter
                .f64_gauge("tandem.usage_events.oldest")
                .with_unit("s")
                .with_description("Age of the oldest usage event in the outbox")
                .build(),
        }
    }

    pub(super) fn published(&self, count: usize) {
        self.published.add(count as u64, &[]);
    }

    pub(super) fn failed(&self) {
        self.failures.add(1, &[]);
    }

    pub(super) fn measured(&self, state: OutboxState) {
        self.waiting.record(state.waiting, &[]);
        self.oldest.record(state.oldest_ms as f64 / 1_000.0, &[]);
    }
}
