//! The doorbell on Google's Pub/Sub: a topic and one subscription that workers share, at least once and without order. What the client
//! does not see (a server that hangs, a subscription that is gone, a connection that nobody answers on) is looked for here (ADR 0018).

mod dead_letters;
mod events;
mod listener;
mod names;
mod publisher;
mod puller;
mod resources;
mod ringer;
mod settings;
mod submissions;

pub(crate) use dead_letters::PubSubDeadLetters;
pub(crate) use events::PubSubEvents;
pub use settings::{PubSubSettings, SubmissionsPubSubSettings};
pub(crate) use submissions::PubSubSubmissions;

use crate::{
    Delivery, Doorbell, Verdict,
    google::Place,
    instruments::{Instruments, Side},
    message,
    outage::Outage,
};
use async_trait::async_trait;
use domain::{Pointer, Result};
use futures::{FutureExt, StreamExt, stream::BoxStream};
use listener::{Heard, Listener};
use names::Names;
use resources::Made;
use ringer::Ringer;
use std::{sync::Arc, time::Duration};
use tracing::warn;

/// How often a side that hears nothing makes sure that Pub/Sub still answers.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long a pointer is kept from others at most, whatever its holder does: a claim takes less.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// A doorbell over a topic of Pub/Sub.
pub struct PubSub {
    site: Site,
    names: Names,
    instruments: Instruments,
    ringer: Arc<Ringer>,
}

/// Where Pub/Sub is, and what is to be there.
#[derive(Clone)]
struct Site {
    place: Place,
    /// Made where it does not exist.
    made: Vec<Made>,
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
        let names = settings.names()?;
        let site = settings.site(|| names.made())?;
        if let Place::Emulator(endpoint) = &site.place {
            tracing::info!(topic = names.topic, "the doorbell is on the Pub/Sub emulator at {endpoint}");
        }
        let outage = Outage::new(Side::Ring, instruments.clone());
        let ringer = Arc::new(Ringer::new(site.clone(), names.clone(), settings.publish_timeout(), outage));
        Ok(Self { site, names, instruments, ringer })
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
            subscription: self.names.subscription.clone(),
            outage: Outage::new(Side::Listen, self.instruments.clone()),
            longest_hold: LONGEST_HOLD,
        };
        let (ringer, instruments) = (Arc::clone(&self.ringer), self.instruments.clone());
        let read = move |heard| {
            let (ringer, instruments) = (Arc::clone(&ringer), instruments.clone());
            async move { read(heard, &ringer, &instruments).await }
        };
        Ok(listener.hear(slots).filter_map(read).boxed())
    }

    /// Not known: Cloud Monitoring has the backlog of a subscription, minutes late.
    async fn depth(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    async fn health(&self) -> Result<()> {
        self.ringer.health().await
    }
}

/// The pointer in a message.
async fn read(heard: Heard, ringer: &Ringer, instruments: &Instruments) -> Option<Delivery> {
    let reason = match message::read(&heard.message.data) {
        Ok(pointer) => return Some(delivery(pointer, heard)),
        Err(reason) => reason,
    };
    instruments.unreadable();
    bury(&heard, &reason, ringer).await;
    heard.settle(Verdict::Ack);
    None
}

fn delivery(pointer: Pointer, heard: Heard) -> Delivery {
    Delivery::new(pointer, move |verdict| {
        async move {
            heard.settle(verdict);
            Ok(())
        }
        .boxed()
    })
}

/// Moves what is no pointer out of the way, or says that it is dropped: it would come again at once, and for ever.
async fn bury(heard: &Heard, reason: &str, ringer: &Ringer) {
    let (id, bytes) = (&heard.message.message_id, heard.message.data.len());
    match ringer.bury(&heard.message, reason).await {
        Ok(true) => warn!(reason, id, "a message is no pointer; it goes to the dead-letter topic"),
        Ok(false) => warn!(reason, id, bytes, "a message is no pointer; it is dropped, as no dead-letter topic is set"),
        Err(error) => {
            let error = error.chain();
            warn!(
                reason,
                id, bytes, error, "a message is no pointer; it is dropped, as the dead-letter topic is out of order"
            );
        }
    }
}
