//! Usage events: what the ledger's outbox holds goes to a Pub/Sub topic, at least once. Any number of processes may do this at
//! once; the database says who has which records. Knows nothing of how records come into the outbox.

mod event;
mod halving;
mod instruments;
mod pace;
mod settings;
mod topic;

pub use settings::{EventsSettings, Topic};

use domain::{Error, Result};
use event::UsageEvent;
use instruments::Instruments;
use pace::Pace;
use std::time::Duration;
use store::{LedgerRow, Store};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use topic::Client;

/// After the last record was written, time to publish what is left. Cloud Run kills ten seconds after SIGTERM.
const LAST_ROUNDS: Duration = Duration::from_secs(2);

/// How often the outbox is measured.
const MEASURED_EVERY: Duration = Duration::from_secs(10);

/// Publishes usage events, or does nothing where no topic is set.
pub struct UsageEvents {
    settings: EventsSettings,
    store: Store,
    client: OnceCell<Client>,
    instruments: Instruments,
}

impl UsageEvents {
    /// A publisher of what is in the outbox of `store`.
    #[must_use]
    pub fn new(settings: EventsSettings, store: Store) -> Self {
        Self { settings, store, client: OnceCell::new(), instruments: Instruments::new() }
    }

    /// Publishes until `ended`, which is when nobody writes records any more, and then what is left. What stays in the outbox
    /// is published by whoever looks next.
    ///
    /// # Errors
    /// None: what fails is logged and tried again.
    pub async fn run(self, ended: CancellationToken) -> Result<()> {
        let Some(topic) = self.settings.usage_topic.clone() else {
            ended.cancelled().await;
            return Ok(());
        };
        let late = async {
            ended.cancelled().await;
            sleep(LAST_ROUNDS).await;
        };
        tokio::select! {
            () = self.publish(&topic, &ended) => {}
            () = self.measure() => {}
            () = late => tracing::warn!(%topic, "usage events stay in the outbox; the next process publishes them"),
        }
        Ok(())
    }

    /// Round after round, until one after the end finds nothing.
    async fn publish(&self, topic: &Topic, ended: &CancellationToken) {
        let mut pace = Pace::new(self.settings.poll());
        loop {
            let is_last = ended.is_cancelled();
            let pause = match self.round(topic).await {
                Ok(0) if is_last => return,
                Ok(published) => pace.went_well(published),
                Err(error) => {
                    self.instruments.failed();
                    tracing::warn!(%topic, error = %error.chain(), "usage events are not published; they are tried again");
                    pace.failed()
                }
            };
            // After the end, what fails at once would be tried as fast as it fails.
            if is_last {
                sleep(pause.min(LAST_ROUNDS / 4)).await
            } else {
                ended.run_until_cancelled(sleep(pause)).await.unwrap_or(())
            }
        }
    }

    /// Publishes some records and says how many there were. Those of a round that fails stay held for a while, so that others have
    /// their turn.
    async fn round(&self, topic: &Topic) -> Result<usize> {
        let hold = self.settings.hold();
        let begun = Instant::now();
        let hold_ms = i64::try_from(hold.as_millis()).map_err(Error::internal)?;
        let rows = self.store.claim_outbox(pace::MOST, hold_ms).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let client = self.client.get_or_try_init(|| Client::open(topic, hold / 3)).await?;
        let (published, failure) = client.publish(&rows, begun + hold / 2).await;
        self.acknowledge(&published).await?;
        failure.map_or(Ok(published.len()), Err)
    }

    async fn acknowledge(&self, published: &[&LedgerRow]) -> Result<()> {
        let ids: Vec<_> = published.iter().map(|row| row.id.as_str()).collect();
        if !ids.is_empty() {
            self.store.ack_outbox(&ids).await?;
            self.instruments.published(ids.len());
        }
        Ok(())
    }

    async fn measure(&self) {
        loop {
            match self.store.outbox_state().await {
                Ok(state) => self.instruments.measured(state),
                Err(error) => tracing::warn!(error = %error.chain(), "the outbox can't be measured"),
            }
            sleep(MEASURED_EVERY).await;
        }
    }
}

/// Why the topic has no event.
fn not_taken(cause: impl std::fmt::Display) -> Error {
    crate::google::failed("the topic did not take usage events", cause)
}
