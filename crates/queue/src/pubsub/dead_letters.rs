//! The dead letters of a topic of Pub/Sub: what a subscription to the dead-letter topic keeps. Pub/Sub has no way to look at messages
//! without taking them, so they are taken for a moment and given back.

use super::{
    PubSubSettings, Site, SubmissionsPubSubSettings,
    names::{Dead, Names},
    resources::{self, Resources},
    ringer::REASON,
};
use crate::{
    dead_letters::{DeadLetter, DeadLetters, Judge, Sentence},
    google::{Way, failed},
};
use async_trait::async_trait;
use domain::{Error, Result};
use google_cloud_pubsub::{
    client::Publisher,
    model::Message,
    subscriber::{MessageStream, ShutdownBehavior, handler::Handler},
};
use std::{collections::HashSet, time::Duration};
use tokio::time::timeout;
use tracing::warn;

/// Pub/Sub does not say that there are no more: nothing for so long is taken for it.
const SILENCE: Duration = Duration::from_secs(3);

/// How long each is kept from others; the client asks for more time while it looks.
const HOLD: Duration = Duration::from_secs(60);

/// What Pub/Sub itself moved has this attribute: how often it was delivered before.
const DELIVERIES: &str = "CloudPubSubDeadLetterSourceDeliveryCount";

/// A subscription to a dead-letter topic, and the topic that dead letters go back to.
pub(crate) struct PubSubDeadLetters {
    site: Site,
    topic: String,
    subscription: String,
    deadline: Duration,
}

struct Taken {
    message: Message,
    handler: Handler,
}

impl PubSubDeadLetters {
    /// Those of the doorbell.
    ///
    /// # Errors
    /// For settings that can't be used, and where no topic is set for them.
    pub(crate) fn of_doorbell(settings: &PubSubSettings) -> Result<Self> {
        Self::new(settings, settings.names()?)
    }

    /// Those of jobs.
    ///
    /// # Errors
    /// For settings that can't be used.
    pub(crate) fn of_submissions(doorbell: &PubSubSettings, settings: &SubmissionsPubSubSettings) -> Result<Self> {
        Self::new(doorbell, settings.names(doorbell)?)
    }

    fn new(settings: &PubSubSettings, names: Names) -> Result<Self> {
        let site = settings.site(|| names.made())?;
        let Some(Dead { subscription, .. }) = names.dead else {
            return Err(Error::invalid("doorbell.pubsub.dead_letter_topic is not set: what is no pointer is dropped"));
        };
        Ok(Self { site, topic: names.topic, subscription, deadline: settings.publish_timeout() })
    }

    /// Up to `most` messages, the oldest first. They stay taken until the stream is shut down.
    async fn take(&self, stream: &mut MessageStream, most: usize) -> Result<Vec<Taken>> {
        let (mut taken, mut ids) = (Vec::new(), HashSet::new());
        while taken.len() < most {
            let Ok(Some(next)) = timeout(SILENCE, stream.next()).await else { break };
            let (message, handler) = next.map_err(unreadable)?;
            // One that comes a second time is the same one.
            if ids.insert(message.message_id.clone()) {
                taken.push(Taken { message, handler });
            }
        }
        taken.sort_by_key(|taken| taken.message.publish_time.map(|time| (time.seconds(), time.nanos())));
        Ok(taken)
    }

    async fn stream(&self, way: &Way, most: usize) -> Result<MessageStream> {
        let subscriber = way.subscriber().build().await.map_err(unreadable)?;
        let subscribing = subscriber
            .subscribe(&self.subscription)
            .set_max_outstanding_messages(i64::try_from(most).unwrap_or(i64::MAX))
            .set_max_lease_extension(HOLD)
            .set_shutdown_behavior(ShutdownBehavior::NackImmediately);
        Ok(subscribing.build())
    }

    /// Does with each what `verdict` says.
    async fn judge(&self, way: &Way, taken: Vec<Taken>, verdict: &Judge<'_>) -> (Vec<Kept>, Result<()>) {
        let mut kept = Vec::new();
        let mut source = None;
        for Taken { message, handler } in taken {
            let letter = DeadLetter::new(message.data.to_vec(), reason(&message));
            match verdict(&letter) {
                Sentence::Keep => {
                    kept.push(Kept { letter, _handler: handler });
                    continue;
                }
                Sentence::Redrive => {
                    if let Err(error) = self.send_again(way, &mut source, message).await {
                        return (kept, Err(error));
                    }
                }
                Sentence::Drop => {}
            }
            handler.ack();
        }
        (kept, Ok(()))
    }

    /// Publishes to the topic that it came from, by the client in `source`. Pub/Sub has it when this returns.
    async fn send_again(&self, way: &Way, source: &mut Option<Publisher>, message: Message) -> Result<()> {
        let publisher = match source {
            Some(publisher) => publisher,
            None => source.insert(way.publisher(&self.topic).build().await.map_err(unsent)?),
        };
        let sending = publisher.publish(Message::new().set_data(message.data));
        timeout(self.deadline, sending).await.map_err(unsent)?.map(drop).map_err(unsent)
    }
}

/// A letter that stays. Its handler would give it back too early.
struct Kept {
    letter: DeadLetter,
    _handler: Handler,
}

#[async_trait]
impl DeadLetters for PubSubDeadLetters {
    async fn sort(&self, most: usize, verdict: &Judge<'_>) -> Result<Vec<DeadLetter>> {
        let way = self.site.place.way()?;
        // The stream would wait in silence for a Pub/Sub that is away.
        let resources = Resources::open(&way, &self.site.made).await?;
        resources::or_may_not_look(resources.subscription(&self.subscription).await)?;
        let mut stream = self.stream(&way, most).await?;
        let shutdown = stream.shutdown_token();
        let judged = match self.take(&mut stream, most).await {
            Ok(taken) => self.judge(&way, taken, verdict).await,
            Err(error) => (Vec::new(), Err(error)),
        };
        // Sends what was acknowledged, and gives the rest back.
        if timeout(HOLD, shutdown.shutdown()).await.is_err() {
            warn!("Pub/Sub was not told of all that became of dead letters; some may come again");
        }
        let (kept, outcome) = judged;
        outcome.map(|()| kept.into_iter().map(|kept| kept.letter).collect())
    }
}

/// Ours, or what Pub/Sub says of those that it moved by itself.
fn reason(message: &Message) -> Option<String> {
    let ours = message.attributes.get(REASON).cloned();
    let deliveries = || message.attributes.get(DELIVERIES);
    ours.or_else(|| Some(format!("Pub/Sub: delivered {} times and never acknowledged", deliveries()?)))
}

fn unreadable(cause: impl std::fmt::Display) -> Error {
    failed("dead letters can't be read", cause)
}

fn unsent(cause: impl std::fmt::Display) -> Error {
    failed("the topic did not take the dead letter; it stays", cause)
}
