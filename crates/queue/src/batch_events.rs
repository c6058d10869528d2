//! Batch events: what the outbox holds goes to an exchange of RabbitMQ or to a topic of Pub/Sub, at least once. Any number of processes
//! may do this at once; the database says who has which events. Knows nothing of how events come into the outbox.

mod message;
mod replies;

use crate::{
    DoorbellSettings, EventsSettings,
    pubsub::PubSubEvents,
    rabbitmq::RabbitMqEvents,
    relay::{self, Instruments, Outgoing},
};
use domain::{Error, Result};
pub(crate) use message::BatchMessage;
pub use replies::Replies;
use std::time::Duration;
use store::Store;
use tokio_util::sync::CancellationToken;

/// Publishes batch events, or does nothing where nobody is to be told.
pub struct BatchEvents {
    store: Store,
    hearer: Option<Hearer>,
    poll: Duration,
    hold: Duration,
    instruments: Instruments,
}

/// Who is told.
enum Hearer {
    Exchange(RabbitMqEvents),
    Topic(PubSubEvents),
}

impl Hearer {
    /// The one that the settings name.
    fn open(settings: &EventsSettings, doorbell: &DoorbellSettings) -> Result<Option<Self>> {
        match (&settings.batch_exchange, &settings.batch_topic) {
            (None, None) => Ok(None),
            (Some(exchange), None) => Ok(Some(Self::Exchange(RabbitMqEvents::new(&doorbell.rabbitmq, exchange)?))),
            (None, Some(topic)) => {
                let replies = Replies::new(settings)?;
                Ok(Some(Self::Topic(PubSubEvents::new(&doorbell.pubsub, topic, replies)?)))
            }
            (Some(_), Some(_)) => {
                Err(Error::invalid("events.batch_exchange and events.batch_topic: set one of the two"))
            }
        }
    }

    /// Tells; says of each whether it was told.
    async fn tell(&self, messages: &[BatchMessage]) -> Vec<Result<()>> {
        match self {
            Self::Exchange(exchange) => exchange.publish(messages).await,
            Self::Topic(topic) => topic.publish(messages).await,
        }
    }
}

impl BatchEvents {
    /// A publisher of what is in the outbox of `store`. It connects in the background. Needs a runtime.
    ///
    /// # Errors
    /// For settings that can't be used.
    pub fn new(settings: &EventsSettings, doorbell: &DoorbellSettings, store: Store) -> Result<Self> {
        Ok(Self {
            store,
            hearer: Hearer::open(settings, doorbell)?,
            poll: settings.poll(),
            hold: settings.hold(),
            instruments: Instruments::new("batch_events"),
        })
    }

    /// Publishes until `ended`, which is when nothing happens to batches here any more, and then what is left. What stays in the outbox
    /// is published by whoever looks next.
    ///
    /// # Errors
    /// None: what fails is logged and tried again.
    pub async fn run(self, ended: CancellationToken) -> Result<()> {
        match self.hearer {
            Some(_) => relay::run(&self, self.poll, ended).await,
            None => ended.cancelled().await,
        }
        Ok(())
    }
}

impl Outgoing for BatchEvents {
    const WHAT: &'static str = "batch events";

    async fn round(&self) -> Result<usize> {
        let Some(hearer) = &self.hearer else { return Ok(0) };
        let hold_ms = i64::try_from(self.hold.as_millis()).map_err(Error::internal)?;
        let events = self.store.claim_events(relay::MOST, hold_ms).await?;
        if events.is_empty() {
            return Ok(0);
        }
        let messages = events.iter().map(BatchMessage::of).collect::<Result<Vec<_>>>()?;
        let outcomes = hearer.tell(&messages).await;
        let told: Vec<_> =
            events.iter().zip(&outcomes).filter(|(_, told)| told.is_ok()).map(|(told, _)| &told.event.id).collect();
        if !told.is_empty() {
            self.store.ack_events(&told).await?;
            self.instruments.published(told.len());
        }
        let count = told.len();
        outcomes.into_iter().find_map(Result::err).map_or(Ok(count), Err)
    }

    async fn measure(&self) -> Result<()> {
        self.instruments.measured(self.store.events_state().await?);
        Ok(())
    }

    fn failed(&self) {
        self.instruments.failed();
    }
}
