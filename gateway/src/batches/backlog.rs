//! Gauges of the batch work that waits, for scaling workers. Gateways report them because there may be no worker; all report the
//! same, as the database has it.

use opentelemetry::{global, metrics::Gauge};
use std::time::Duration;
use store::{Backlog, Store};
use tokio_util::sync::CancellationToken;

struct Gauges {
    runnable_tokens: Gauge<i64>,
    leased_shards: Gauge<i64>,
    oldest: Gauge<f64>,
    unsettled: Gauge<i64>,
}

impl Gauges {
    fn new() -> Self {
        let meter = global::meter("tandem.gateway");
        Self {
            runnable_tokens: meter
                .i64_gauge("tandem.batch.runnable_work_tokens")
                .with_description("Estimated tokens of batch lines without a record that may run now")
                .build(),
            leased_shards: meter
                .i64_gauge("tandem.batch.leased_shards")
                .with_description("Shards that workers hold")
                .build(),
            oldest: meter
                .f64_gauge("tandem.batch.oldest")
                .with_unit("s")
                .with_description("For how long the oldest batch that runs has been able to")
                .build(),
            unsettled: meter
                .i64_gauge("tandem.batch.unsettled")
                .with_description("Batches that wait to be judged or ended, or are being so")
                .build(),
        }
    }

    fn record(&self, backlog: &Backlog) {
        self.runnable_tokens.record(backlog.runnable_tokens, &[]);
        self.leased_shards.record(backlog.leased_shards, &[]);
        self.oldest.record(backlog.oldest_ms as f64 / 1_000.0, &[]);
        self.unsettled.record(backlog.unsettled_batches, &[]);
    }
}

/// Reports what waits every `period` until `end`.
pub(crate) async fn report(store: &Store, period: Duration, end: &CancellationToken) {
    let gauges = Gauges::new();
    loop {
        match store.backlog().await {
            Ok(backlog) => gauges.record(&backlog),
            Err(error) => tracing::warn!(error = %error.chain(), "the batch backlog can't be read"),
        }
        if end.run_until_cancelled(tokio::time::sleep(period)).await.is_none() {
            return;
        }
    }
}
