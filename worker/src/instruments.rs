//! How long a worker is busy with its work instead of doing it: what the queue, the leases and the checkpoints cost. And what became of
//! jobs that came as messages.

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram},
};
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

/// What became of a job, or of one try to take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobOutcome {
    /// It is a batch.
    Accepted,
    /// It is a dead letter.
    Refused,
    /// The platform stumbled; it is tried again.
    Delayed,
}

impl JobOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Delayed => "delayed",
        }
    }
}

/// The instruments of one worker.
pub(crate) struct Instruments {
    steps: Histogram<f64>,
    jobs: Counter<u64>,
}

impl Instruments {
    pub(crate) fn new() -> Self {
        let meter = global::meter("tandem.worker");
        let steps = meter
            .f64_histogram("tandem.batch.step.duration")
            .with_unit("s")
            .with_description("What a worker does beside answering lines, tries that failed included")
            .with_boundaries(BUCKETS.to_vec())
            .build();
        let jobs = meter
            .u64_counter("tandem.submissions")
            .with_description("Jobs that came as messages, by outcome; each try that is delayed counts")
            .build();
        Self { steps, jobs }
    }

    /// Something became of a job.
    pub(crate) fn job(&self, outcome: JobOutcome) {
        self.jobs.add(1, &[KeyValue::new("outcome", outcome.as_str())]);
    }

    /// Measures `work`, however it ends; work that is dropped before its end is not counted.
    pub(crate) async fn time<T>(&self, step: Step, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = work.await;
        self.steps.record(begun.elapsed().as_secs_f64(), &[KeyValue::new("step", step.as_str())]);
        done
    }
}
