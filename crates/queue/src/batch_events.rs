//! Batch events: what the outbox holds goes to an exchange of RabbitMQ, at least once. Any number of processes may do this at once;
//! the database says who has which events. Knows nothing of how events come into the outbox.

mod message;

use crate::{
    DoorbellSettings, EventsSettings,
    rabbitmq::RabbitMqEvents,
    relay::{self, Instruments, Outgoing},
};
use domain::{Error, Result};
pub(crate) use message::BatchMessage;
use std::time::Duration;
use store::Store;
use tokio_util::sync::CancellationToken;

/// Publishes batch events, or does nothing where no exchange is set.
pub struct BatchEvents {
    store: Store,
    exchange: Option<RabbitMqEvents>,
    poll: Duration,
    hold: Duration,
    instruments: Instruments,
}

impl BatchEvents {
    /// A publisher of what is in the outbox of `store`. It connects in the background. Needs a runtime.
    ///
    /// # Errors
    /// For settings that can't be used.
    pub fn new(settings: &EventsSettings, doorbell: &DoorbellSettings, store: Store) -> Result<Self> {
        let exchange = settings.batch_exchange.as_deref();
        let exchange = exchange.map(|exchange| RabbitMqEvents::new(&doorbell.rabbitmq, exchange)).transpose()?;
        Ok(Self {
            store,
            exchange,
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
        match self.exchange {
            Some(_) => relay::run(&self, self.poll, ended).await,
            None => ended.cancelled().await,
        }
        Ok(())
    }
}

impl Outgoing for BatchEvents {
    const WHAT: &'static str = "batch events";

    async fn round(&self) -> Result<usize> {
        let Some(exchange) = &self.exchange else { return Ok(0) };
        let hold_ms = i64::try_from(self.hold.as_millis()).map_err(Error::internal)?;
        let events = self.store.claim_events(relay::MOST, hold_ms).await?;
        if events.is_empty() {
            return Ok(0);
        }
        let messages = events.iter().map(BatchMessage::of).collect::<Result<Vec<_>>>()?;
        exchange.publish(&messages).await?;
        self.store.ack_events(&events.iter().map(|told| &told.event.id).collect::<Vec<_>>()).await?;
        self.instruments.published(events.len());
        Ok(events.len())
    }

    async fn measure(&self) -> Result<()> {
        self.instruments.measured(self.store.events_state().await?);
        Ok(())
    }

    fn failed(&self) {
        self.instruments.failed();
    }
}
