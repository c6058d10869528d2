//! What is measured of doorbells.

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge},
};

/// What a process has a connection to its broker for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Ring,
    Listen,
    Submissions,
    Events,
}

impl Side {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Listen => "listen",
            Self::Submissions => "submissions",
            Self::Events => "events",
        }
    }

    /// What it means that there is none.
    pub(crate) fn without(self) -> &'static str {
        match self {
            Self::Ring | Self::Listen => "workers poll until it is back",
            Self::Submissions => "jobs wait in their queue until it is back",
            Self::Events => "events wait in the outbox until it is back",
        }
    }
}

/// The instruments of one doorbell.
#[derive(Clone)]
pub(crate) struct Instruments {
    kind: &'static str,
    rings: Counter<u64>,
    ring_failures: Counter<u64>,
    deliveries: Counter<u64>,
    unreadable: Counter<u64>,
    connected: Gauge<u64>,
    depth: Gauge<u64>,
}

impl Instruments {
    /// For a doorbell of this kind.
    pub(crate) fn new(kind: &'static str) -> Self {
        let meter = global::meter("tandem.queue");
        let counter = |name, description| meter.u64_counter(name).with_description(description).build();
        let gauge = |name, description| meter.u64_gauge(name).with_description(description).build();
        Self {
            kind,
            rings: counter("tandem.doorbell.rings", "Pointers that the doorbell took"),
            ring_failures: counter(
                "tandem.doorbell.ring_failures",
                "Pointers that it did not take; the sweep rings again",
            ),
            deliveries: counter("tandem.doorbell.deliveries", "Pointers that were heard"),
            unreadable: counter("tandem.doorbell.unreadable", "Messages that are no pointers; they are dead-lettered"),
            connected: gauge("tandem.doorbell.connected", "Whether this side has its broker, 1 or 0"),
            depth: gauge("tandem.doorbell.depth", "Pointers that wait, where the doorbell knows"),
        }
    }

    /// The kind of the doorbell.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn rung(&self, pointers: usize, is_taken: bool) {
        let counter = if is_taken { &self.rings } else { &self.ring_failures };
        counter.add(pointers as u64, &[self.label()]);
    }

    pub(crate) fn delivered(&self) {
        self.deliveries.add(1, &[self.label()]);
    }

    pub(crate) fn unreadable(&self) {
        self.unreadable.add(1, &[self.label()]);
    }

    pub(crate) fn connected(&self, side: Side, is_connected: bool) {
        self.connected.record(u64::from(is_connected), &[self.label(), KeyValue::new("side", side.as_str())]);
    }

    pub(crate) fn depth(&self, depth: u64) {
        self.depth.record(depth, &[self.label()]);
    }

    fn label(&self) -> KeyValue {
        KeyValue::new("doorbell", self.kind)
    }
}
