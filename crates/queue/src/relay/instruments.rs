//! What is measured of an outbox and of what leaves it.

use opentelemetry::{
    global,
    metrics::{Counter, Gauge},
};
use store::OutboxState;

/// The instruments of one publisher.
pub(crate) struct Instruments {
    published: Counter<u64>,
    failures: Counter<u64>,
    waiting: Gauge<i64>,
    oldest: Gauge<f64>,
}

impl Instruments {
    /// Named `tandem.{what}.…`, as `usage_events`.
    pub(crate) fn new(what: &str) -> Self {
        let meter = global::meter("tandem.queue");
        let (name, words) = (|part: &str| format!("tandem.{what}.{part}"), what.replace('_', " "));
        let counter = |part, description: String| meter.u64_counter(name(part)).with_description(description).build();
        Self {
            published: counter("published", format!("{words} that the broker took")),
            failures: counter("failures", format!("Rounds of publishing {words} that failed")),
            waiting: meter
                .i64_gauge(name("waiting"))
                .with_description(format!("{words} in the outbox, not counted beyond 100,000"))
                .build(),
            oldest: meter
                .f64_gauge(name("oldest"))
                .with_unit("s")
                .with_description(format!("Age of the oldest of the {words} in the outbox"))
                .build(),
        }
    }

    pub(crate) fn published(&self, count: usize) {
        self.published.add(count as u64, &[]);
    }

    pub(crate) fn failed(&self) {
        self.failures.add(1, &[]);
    }

    pub(crate) fn measured(&self, state: OutboxState) {
        self.waiting.record(state.waiting, &[]);
        self.oldest.record(state.oldest_ms as f64 / 1_000.0, &[]);
    }
}
