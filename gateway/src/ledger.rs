//! The ledger, written behind: a request takes a seat in a bounded buffer before it begins and leaves its record there when it
//! ends; a few writers take turns at collecting records and write them side by side. A full buffer slows requests; it never drops a
//! record.

mod entry;
mod quote;
mod settings;

pub(crate) use entry::{Asked, Entry};
pub(crate) use quote::{Prices, Quote};
pub use settings::LedgerSettings;

use backon::{ExponentialBuilder, Retryable};
use chassis::drain::Drain;
use domain::{Error, Result, UsageRecord};
use futures::future::join_all;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge},
};
use std::time::Duration;
use store::Store;
use tokio::{
    sync::{
        Mutex,
        mpsc::{self, OwnedPermit, Receiver, Sender, error::TrySendError},
    },
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// One transaction writes at most so many: more would be a burst of work for the database, which keeps others waiting.
const MOST_IN_ONE: usize = 256;
/// So many are worth a transaction: records that wait longer leave the caches.
const ENOUGH: usize = 25;
/// Transactions side by side.
const WRITERS: usize = 4;
/// How often is looked whether so many wait already.
const LOOK: Duration = Duration::from_millis(2);
/// A try that takes longer gets no answer any more: the connection is one of a host that is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two tries to write, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const DAY_MS: u64 = 86_400_000;
/// How often old records are looked for.
const AGING: Duration = Duration::from_secs(3_600);
/// One statement deletes at most so many.
const MOST_DELETED: i64 = 5_000;
/// After the grace, time to write what the last requests left.
const LAST_WRITES: Duration = Duration::from_secs(3);

/// See the head of this file.
pub(crate) struct Ledger {
    settings: LedgerSettings,
    store: Store,
    sender: Sender<UsageRecord>,
    receiver: Mutex<Receiver<UsageRecord>>,
    instruments: Instruments,
}

struct Instruments {
    written: Counter<u64>,
    failures: Counter<u64>,
    waiting: Gauge<u64>,
    unpriced: Counter<u64>,
}

/// Room for one record.
pub(crate) type Seat = OwnedPermit<UsageRecord>;

impl Ledger {
    pub(crate) fn new(settings: LedgerSettings, store: Store) -> Self {
        let (sender, receiver) = mpsc::channel(settings.buffer_records.max(1));
        Self { settings, store, sender, receiver: Mutex::new(receiver), instruments: Instruments::new() }
    }

    /// Room for the record of a request that is about to begin; waits while there is none.
    ///
    /// # Errors
    /// `Unavailable` when there is none for too long, or the process drains.
    pub(crate) async fn seat(&self) -> Result<Seat> {
        let sender = match self.sender.clone().try_reserve_owned() {
            Ok(seat) => return Ok(seat),
            Err(TrySendError::Full(sender) | TrySendError::Closed(sender)) => sender,
        };
        let wait = Duration::from_millis(self.settings.wait_ms);
        match timeout(wait, sender.reserve_owned()).await {
            Ok(Ok(seat)) => Ok(seat),
            Ok(Err(_closed)) => Err(Error::unavailable("This server is being replaced; send the request again.")),
            Err(_) => {
                let message = "Usage can't be written right now and the buffer for it is full; try again shortly.";
                Err(Error::unavailable(message).with_code("ledger_full"))
            }
        }
    }

    /// Writes until the drain, and then until the last request has left its record.
    pub(crate) async fn run(&self, drain: Drain) {
        let (begun, expired) = (drain.token(), drain.expired());
        let writers = join_all((0..WRITERS).map(|_| self.write_behind(&begun)));
        let last = async {
            expired.cancelled_owned().await;
            tokio::time::sleep(LAST_WRITES).await;
        };
        tokio::select! {
            _ = writers => {}
            () = last => tracing::error!("the ledger could not be written to its end; the spend is held by the limits' leases"),
        }
    }

    async fn write_behind(&self, begun: &CancellationToken) {
        let mut records = Vec::with_capacity(MOST_IN_ONE);
        while self.collect(&mut records, begun).await > 0 {
            self.write(&records).await;
            records.clear();
        }
    }

    /// Takes records out of the buffer, after a pause for more of them; none are left once the drain has begun and the last request
    /// has ended. One writer collects at a time, while the others write.
    async fn collect(&self, records: &mut Vec<UsageRecord>, begun: &CancellationToken) -> usize {
        let mut receiver = self.receiver.lock().await;
        begun.run_until_cancelled(pause(self.settings.flush_ms, &receiver)).await;
        let waited_for = begun.run_until_cancelled(receiver.recv_many(records, MOST_IN_ONE)).await;
        let count = match waited_for {
            Some(count) => count,
            None => {
                receiver.close();
                receiver.recv_many(records, MOST_IN_ONE).await
            }
        };
        self.instruments.waiting.record(receiver.len() as u64, &[]);
        count
    }

    /// Deletes records beyond their age, now and then, until the drain.
    pub(crate) async fn age(&self, drain: Drain) {
        let Some(kept_ms) = i64::try_from(self.settings.retention_days * DAY_MS).ok().filter(|ms| *ms > 0) else {
            return;
        };
        let begun = drain.token();
        while begun.run_until_cancelled(tokio::time::sleep(AGING)).await.is_some() {
            if let Err(error) = self.delete_older(kept_ms).await {
                tracing::warn!(error = %error.chain(), "old usage records can't be deleted; they are tried again");
            }
        }
    }

    async fn delete_older(&self, kept_ms: i64) -> Result<()> {
        let before_ms = self.store.now_ms().await? - kept_ms;
        while self.store.delete_usage_before(before_ms, MOST_DELETED).await? > 0 {}
        Ok(())
    }

    /// Writes `records` however long that takes: writing twice is the same as writing once.
    async fn write(&self, records: &[UsageRecord]) {
        let retry = ExponentialBuilder::default().with_max_delay(LONGEST_PAUSE).without_max_times().with_jitter();
        let write = async || match timeout(PATIENCE, self.store.insert_usage(records)).await {
            Ok(written) => written,
            Err(_) => Err(Error::unavailable(format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        let written = write.retry(retry).when(|error: &Error| error.kind().is_retryable()).notify(|error, _| {
            self.instruments.failures.add(1, &[]);
            tracing::warn!(error = %error.chain(), records = records.len(), "usage not written yet");
        });
        match written.await {
            Ok(count) => self.instruments.written.add(count, &[]),
            Err(error) if records.len() == 1 => {
                let id = records[0].request.as_str();
                tracing::error!(error = %error.chain(), request_id = id, "usage can't be written");
            }
            // One of them is the reason: the others shall not be lost with it.
            Err(_) => {
                for record in records.chunks(1) {
                    Box::pin(self.write(record)).await;
                }
            }
        }
    }

    /// Raises the alarm for a model whose price nobody stated.
    pub(crate) fn is_unpriced(&self, model: &str) {
        self.instruments.unpriced.add(1, &[KeyValue::new("model", model.to_owned())]);
    }
}

/// The pause before records are collected. It ends once a transaction is worth it.
async fn pause<T>(flush_ms: u64, receiver: &Receiver<T>) {
    let until = Instant::now() + Duration::from_millis(flush_ms);
    while receiver.len() < ENOUGH && Instant::now() < until {
        sleep_until(until.min(Instant::now() + LOOK)).await;
    }
}

impl Instruments {
    fn new() -> Self {
        let meter = global::meter("tandem.gateway");
        let counter = |name, description| meter.u64_counter(name).with_description(description).build();
        Self {
            written: counter("tandem.ledger.records_written", "Usage records in the database"),
            failures: counter("tandem.ledger.write_failures", "Tries to write usage records that failed"),
            waiting: meter
                .u64_gauge("tandem.ledger.records_waiting")
                .with_description("Usage records not written yet")
                .build(),
            unpriced: counter("tandem.ledger.unpriced_requests", "Requests to a model whose price is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn paused(records: usize) -> Duration {
        let (sender, receiver) = mpsc::channel(ENOUGH);
        for record in 0..records {
            sender.send(record).await.unwrap();
        }
        let begun = Instant::now();
        pause(25, &receiver).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_once_a_transaction_is_worth_it() {
        assert_eq!(paused(ENOUGH - 1).await, Duration::from_millis(25));
        assert_eq!(paused(ENOUGH).await, Duration::ZERO);
    }
}
