//! The doorbell on RabbitMQ, 3.10 and later: a quorum queue, publisher confirms, manual acknowledgements. Connections are ours to
//! watch: the client's own recovery gives up after a while and does not see channels that the broker closes (ADR 0017).

mod cord;
mod hosts;
mod listener;
mod queues;
mod ringer;
mod settings;

pub use settings::RabbitMqSettings;

use crate::{
    Delivery, Doorbell,
    instruments::{Instruments, Side},
    message,
    outage::Outage,
};
use async_trait::async_trait;
use domain::{Error, Pointer, Result};
use futures::{StreamExt, stream::BoxStream};
use hosts::Hosts;
use listener::Listener;
use queues::Queues;
use ringer::Ringer;
use std::sync::Arc;

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
        let (hosts, queues) = (Hosts::read(settings)?, Queues::named(&settings.queue)?);
        let outage = Outage::new(Side::Ring, instruments.clone());
        let ringer = Arc::new(Ringer::new(hosts.clone(), queues.clone(), settings.publish_timeout(), outage));
        Ok(Self { hosts, queues, instruments, ringer })
    }
}

#[async_trait]
impl Doorbell for RabbitMq {
    async fn ring(&self, pointers: &[Pointer]) -> Result<()> {
        let messages = pointers.iter().map(message::write).collect::<Result<Vec<_>>>()?;
        self.ringer.ring(&messages).await
    }

    async fn listen(&self, slots: usize) -> Result<BoxStream<'static, Delivery>> {
        let listener = Listener {
            hosts: self.hosts.clone(),
            queues: self.queues.clone(),
            outage: Outage::new(Side::Listen, self.instruments.clone()),
            instruments: self.instruments.clone(),
            ringer: Arc::clone(&self.ringer),
        };
        Ok(listener.hear(slots).boxed())
    }

    async fn depth(&self) -> Result<Option<u64>> {
        self.ringer.depth().await.map(Some)
    }

    async fn health(&self) -> Result<()> {
        self.ringer.depth().await.map(drop)
    }
}

/// Does what follows on a connection in the time that the connection itself may take.
async fn in_time<T>(hosts: &Hosts, work: impl Future<Output = lapin::Result<T>>) -> Result<T> {
    let failed = |why: String| Error::unavailable("RabbitMQ can't be used").with_source(why);
    match tokio::time::timeout(hosts.connect_timeout(), work).await {
        Ok(done) => done.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed("it falls silent".to_owned())),
    }
}
