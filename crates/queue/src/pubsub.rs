//! The doorbell on Google's Pub/Sub: a topic and one subscription that workers share, at least once and without order. What the client
//! does not see (a server that hangs, a subscription that is gone, a connection that nobody answers on) is looked for here (ADR 0018).

mod listener;
mod names;
mod resources;
mod ringer;
mod settings;

pub use settings::PubSubSettings;

use crate::{
    Delivery, Doorbell,
    google::Place,
    instruments::{Instruments, Side},
    message,
    outage::Outage,
};
use async_trait::async_trait;
use domain::{Pointer, Result};
use futures::{StreamExt, stream::BoxStream};
use listener::Listener;
use names::Names;
use ringer::Ringer;
use std::{sync::Arc, time::Duration};

/// How often a side that hears nothing makes sure that Pub/Sub still answers.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A doorbell over a topic of Pub/Sub.
pub struct PubSub {
    site: Site,
    instruments: Instruments,
    ringer: Arc<Ringer>,
}

/// What both sides need to know.
#[derive(Clone)]
struct Site {
    place: Place,
    names: Names,
    create: bool,
}

impl PubSub {
    /// A doorbell that connects in the background; a Pub/Sub that is away is no error. Needs a runtime.
    ///
    /// # Errors
    /// For settings that can't be used.
    pub fn new(settings: &PubSubSettings) -> Result<Self> {
        Self::measured(settings, Instruments::new("pubsub"))
    }

    pub(crate) fn measured(settings: &PubSubSettings, instruments: Instruments) -> Result<Self> {
        let site = Site { place: settings.place()?, names: settings.names()?, create: settings.create };
        if let Place::Emulator(endpoint) = &site.place {
            tracing::info!(topic = site.names.topic, "the doorbell is on the Pub/Sub emulator at {endpoint}");
        }
        let outage = Outage::new(Side::Ring, instruments.clone());
        let ringer = Arc::new(Ringer::new(site.clone(), settings.publish_timeout(), outage));
        Ok(Self { site, instruments, ringer })
    }
}

#[async_trait]
impl Doorbell for PubSub {
    async fn ring(&self, pointers: &[Pointer]) -> Result<()> {
        let messages = pointers.iter().map(message::write).collect::<Result<Vec<_>>>()?;
        self.ringer.ring(messages).await
    }

    async fn listen(&self, slots: usize) -> Result<BoxStream<'static, Delivery>> {
        let listener = Listener {
            site: self.site.clone(),
            outage: Outage::new(Side::Listen, self.instruments.clone()),
            instruments: self.instruments.clone(),
            ringer: Arc::clone(&self.ringer),
        };
        Ok(listener.hear(slots).boxed())
    }

    /// Not known: Cloud Monitoring has the backlog of a subscription, minutes late.
    async fn depth(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    async fn health(&self) -> Result<()> {
        self.ringer.health().await
    }
}
