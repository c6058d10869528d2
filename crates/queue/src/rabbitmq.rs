//! The doorbell on RabbitMQ, 3.10 and later: a quorum queue, publisher confirms, manual acknowledgements. Connections are ours to
//! watch: the client's own recovery gives up after a while and does not see channels that the broker closes (ADR 0017).

mod cord;
mod dead_letters;
mod events;
mod hosts;
mod listener;
mod publisher;
mod queues;
mod ringer;
mod settings;
mod submissions;

pub(crate) use dead_letters::RabbitMqDeadLetters;
pub(crate) use events::RabbitMqEvents;
pub use settings::RabbitMqSettings;
pub(crate) use submissions::RabbitMqSubmissions;

use crate::{
    Delivery, Doorbell,
    instruments::{Instruments, Side},
    message,
    outage::Outage,
};
use async_trait::async_trait;
use domain::{Error, Pointer, Result};
use futures::{FutureExt, StreamExt, stream::BoxStream};
use hosts::Hosts;
use listener::{Heard, Listener};
use queues::Queues;
use ringer::Ringer;
use std::sync::Arc;
use tracing::warn;

/// A doorbell over a queue of RabbitMQ.
pub struct RabbitMq {
    hosts: Hosts,
    queues: Queues,
    instruments: Instruments,
    ringer: Arc<Ringer>,
}

impl RabbitMq {
    /// A doorbell that connects in the background; a broker that is away is no error. Needs a runtime.
    ///
    /// # Errors
    /// For settings that can't be used.
    pub fn new(settings: &RabbitMqSettings) -> Result<Self> {
        Self::measured(settings, Instruments::new("rabbitmq"))
    }

    pub(crate) fn measured(settings: &RabbitMqSettings, instruments: Instruments) -> Result<Self> {
        let (hosts, queues) = (Hosts::read(settings)?, Queues::named("doorbell.rabbitmq.queue", &settings.queue)?);
        let outage = Outage::new(Side::Ring, instruments.clone());
        let ringer = Arc::new(ringer::open(&hosts, &queues, "tandem: rings", settings, outage));
        Ok(Self { hosts, queues, instruments, ringer })
    }
}

#[async_trait]
impl Doorbell for RabbitMq {
    async fn ring(&self, pointers: &[Pointer]) -> Result<()> {
        let messages = pointers.iter().map(message::write).collect::<Result<Vec<_>>>()?;
        self.ringer.ring(messages).await
    }

    async fn listen(&self, slots: usize) -> Result<BoxStream<'static, Delivery>> {
        let listener = Listener {
            hosts: self.hosts.clone(),
            queues: self.queues.clone(),
            outage: Outage::new(Side::Listen, self.instruments.clone()),
            purpose: "tandem: listens",
        };
        let (ringer, instruments) = (Arc::clone(&self.ringer), self.instruments.clone());
        let read = move |heard| {
            let (ringer, instruments) = (Arc::clone(&ringer), instruments.clone());
            async move { read(heard, &ringer, &instruments).await }
        };
        Ok(listener.hear(slots).filter_map(read).boxed())
    }

    async fn depth(&self) -> Result<Option<u64>> {
        self.ringer.depth().await.map(Some)
    }

    async fn health(&self) -> Result<()> {
        self.ringer.depth().await.map(drop)
    }
}

/// The pointer in a message.
async fn read(heard: Heard, ringer: &Ringer, instruments: &Instruments) -> Option<Delivery> {
    let reason = match message::read(&heard.message) {
        Ok(pointer) => return Some(Delivery::new(pointer, move |verdict| heard.settle(verdict).boxed())),
        Err(reason) => reason,
    };
    instruments.unreadable();
    warn!(reason, "a message is no pointer; it goes to the dead-letter queue");
    if let Err(error) = heard.bury(ringer, &reason).await {
        warn!(error = %error.chain(), "a message that is no pointer will come again");
    }
    None
}

/// Does what follows on a connection in the time that the connection itself may take.
async fn in_time<T>(hosts: &Hosts, work: impl Future<Output = lapin::Result<T>>) -> Result<T> {
    let failed = |why: String| Error::unavailable("RabbitMQ can't be used").with_source(why);
    match tokio::time::timeout(hosts.connect_timeout(), work).await {
        Ok(done) => done.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed("it falls silent".to_owned())),
    }
}
