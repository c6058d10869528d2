//! How long a worker is busy with its work instead of doing it: what the queue, the leases and the checkpoints cost.

use opentelemetry::{KeyValue, global, metrics::Histogram};
use std::time::Instant;

/// Seconds; a statement takes about a millisecond.
const BUCKETS: [f64; 12] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];

/// Something a worker does beside answering lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Looks for the next shard and takes its lease, or finds that there is none.
    Claim,
    /// Tells the doorbell what became of a pointer.
    Settle,
    /// Rings for others.
    Ring,
    /// Cuts the next shards.
    Plan,
    /// Renews all leases.
    Heartbeat,
    /// Writes the objects of a checkpoint.
    Write,
    /// Makes them count.
    Commit,
}

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Settle => "settle",
            Self::Ring => "ring",
            Self::Plan => "plan",
            Self::Heartbeat => "heartbeat",
            Self::Write => "write",
            Self::Commit => "commit",
        }
    }
}

/// The instruments of one worker.
pub(crate) struct Instruments {
    steps: Histogram<f64>,
}

impl Instruments {
    pub(crate) fn new() -> Self {
        let steps = global::meter("tandem.worker")
            .f64_histogram("tandem.batch.step.duration")
            .with_unit("s")
            .with_description("What a worker does beside answering lines, tries that failed included")
            .with_boundaries(BUCKETS.to_vec())
            .build();
        Self { steps }
    }

    /// Measures `work`, however it ends; work that is dropped before its end is not counted.
    pub(crate) async fn time<T>(&self, step: Step, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = work.await;
        self.steps.record(begun.elapsed().as_secs_f64(), &[KeyValue::new("step", step.as_str())]);
        done
    }
}
