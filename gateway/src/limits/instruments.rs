//! What is counted of limits. The labels are kinds, never names of callers: those have no bound.

use domain::Limit;
use opentelemetry::{KeyValue, global, metrics::Counter};

/// The instruments of one gateway.
pub(super) struct Instruments {
    waited: Counter<u64>,
    refused: Counter<u64>,
    unknown: Counter<u64>,
    store_failures: Counter<u64>,
}

impl Instruments {
    pub(super) fn new() -> Self {
        let meter = global::meter("tandem.gateway");
        let counter = |name, description| meter.u64_counter(name).with_description(description).build();
        Self {
            waited: counter(
                "tandem.limits.waited",
                "Requests that waited for the database because the replica held too little",
            ),
            refused: counter("tandem.limits.refused", "Requests refused because a limit was reached"),
            unknown: counter("tandem.limits.unknown", "Requests refused because their limits could not be checked"),
            store_failures: counter(
                "tandem.limits.store_failures",
                "Exchanges of leases that the database did not answer",
            ),
        }
    }

    pub(super) fn waited(&self) {
        self.waited.add(1, &[]);
    }

    pub(super) fn refused(&self, limit: &Limit) {
        let labels =
            [KeyValue::new("kind", limit.kind.as_str()), KeyValue::new("subject_kind", limit.subject_kind.as_str())];
        self.refused.add(1, &labels);
    }

    pub(super) fn unknown(&self) {
        self.unknown.add(1, &[]);
    }

    pub(super) fn store_failed(&self) {
        self.store_failures.add(1, &[]);
    }
}
