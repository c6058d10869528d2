//! Jobs from a subscription of Pub/Sub.

use super::{
    PubSubSettings, Site, SubmissionsPubSubSettings,
    listener::{Heard, Listener},
    names::Names,
    ringer::Ringer,
};
use crate::{
    Submissions, Submitted, Verdict,
    instruments::{Instruments, Side},
    outage::Outage,
    submissions::Fate,
};
use async_trait::async_trait;
use domain::{Error, Result};
use futures::{FutureExt, StreamExt, stream::BoxStream};
use std::{sync::Arc, time::Duration};

/// How long a job is kept from other workers at most: its input may have to be fetched first.
const LONGEST_HOLD: Duration = Duration::from_secs(3_600);

/// Before what could not be moved to the dead letters comes again, which would be at once.
const BEFORE_AGAIN: Duration = Duration::from_secs(1);

/// A subscription to the topic that senders publish to, and a topic for dead letters.
pub(crate) struct PubSubSubmissions {
    site: Site,
    names: Names,
    instruments: Instruments,
    ringer: Arc<Ringer>,
}

impl PubSubSubmissions {
    /// Connects in the background, as `doorbell` says. Needs a runtime.
    ///
    /// # Errors
    /// For settings that can't be used.
    pub(crate) fn new(doorbell: &PubSubSettings, settings: &SubmissionsPubSubSettings) -> Result<Self> {
        let names = settings.names(doorbell)?;
        let site = doorbell.site(|| names.made())?;
        let instruments = Instruments::new("pubsub");
        let outage = Outage::new(Side::Submissions, instruments.clone());
        let deadline = doorbell.publish_timeout();
        let ringer = Arc::new(Ringer::of_dead_letters(site.clone(), names.clone(), deadline, outage));
        Ok(Self { site, names, instruments, ringer })
    }
}

#[async_trait]
impl Submissions for PubSubSubmissions {
    async fn listen(&self, slots: usize) -> Result<BoxStream<'static, Submitted>> {
        let listener = Listener {
            site: self.site.clone(),
            subscription: self.names.subscription.clone(),
            outage: Outage::new(Side::Submissions, self.instruments.clone()),
            longest_hold: LONGEST_HOLD,
        };
        let ringer = Arc::clone(&self.ringer);
        let submitted = move |heard: Heard| {
            let ringer = Arc::clone(&ringer);
            Submitted::new(heard.message.data.to_vec(), move |fate| settle(heard, ringer, fate).boxed())
        };
        Ok(listener.hear(slots).map(submitted).boxed())
    }
}

async fn settle(heard: Heard, ringer: Arc<Ringer>, fate: Fate) -> Result<()> {
    match fate {
        Fate::Accepted => heard.settle(Verdict::Ack),
        Fate::Again => heard.settle(Verdict::Nack),
        Fate::Refused(reason) => match ringer.bury(&heard.message, &reason).await {
            // Only now, or it would be lost with the process.
            Ok(true) => heard.settle(Verdict::Ack),
            Ok(false) => return Err(Error::internal("jobs have no dead-letter topic")),
            Err(error) => {
                tokio::time::sleep(BEFORE_AGAIN).await;
                heard.settle(Verdict::Nack);
                return Err(error);
            }
        },
    }
    Ok(())
}
