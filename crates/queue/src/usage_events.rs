//! Usage events: what the ledger's outbox holds goes to a Pub/Sub topic, at least once. Any number of processes may do this at
//! once; the database says who has which records. Knows nothing of how records come into the outbox.

mod event;
mod halving;
mod settings;
mod topic;

pub use settings::{EventsSettings, Topic};

use crate::relay::{self, Instruments, Outgoing};
use domain::{Error, Result};
use event::UsageEvent;
use store::{LedgerRow, Store};
use tokio::{sync::OnceCell, time::Instant};
use tokio_util::sync::CancellationToken;
use topic::Client;

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
        Self { settings, store, client: OnceCell::new(), instruments: Instruments::new("usage_events") }
    }

    /// Publishes until `ended`, which is when nobody writes records any more, and then what is left. What stays in the outbox
    /// is published by whoever looks next.
    ///
    /// # Errors
    /// None: what fails is logged and tried again.
    pub async fn run(self, ended: CancellationToken) -> Result<()> {
        match self.settings.usage_topic {
            Some(_) => relay::run(&self, self.settings.poll(), ended).await,
            None => ended.cancelled().await,
        }
        Ok(())
    }

    async fn acknowledge(&self, published: &[&LedgerRow]) -> Result<()> {
        let ids: Vec<_> = published.iter().map(|row| row.id.as_str()).collect();
        if !ids.is_empty() {
            self.store.ack_outbox(&ids).await?;
            self.instruments.published(ids.len());
        }
        Ok(())
    }
}

impl Outgoing for UsageEvents {
    const WHAT: &'static str = "usage events";

    async fn round(&self) -> Result<usize> {
        let Some(topic) = &self.settings.usage_topic else { return Ok(0) };
        let hold = self.settings.hold();
        let begun = Instant::now();
        let hold_ms = i64::try_from(hold.as_millis()).map_err(Error::internal)?;
        let rows = self.store.claim_outbox(relay::MOST, hold_ms).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let client = self.client.get_or_try_init(|| Client::open(topic, hold / 3)).await?;
        let (published, failure) = client.publish(&rows, begun + hold / 2).await;
        self.acknowledge(&published).await?;
        failure.map_or(Ok(published.len()), Err)
    }

    async fn measure(&self) -> Result<()> {
        self.instruments.measured(self.store.outbox_state().await?);
        Ok(())
    }

    fn failed(&self) {
        self.instruments.failed();
    }
}

/// Why the topic has no event.
fn not_taken(cause: impl std::fmt::Display) -> Error {
    crate::google::failed("the topic did not take usage events", cause)
}
