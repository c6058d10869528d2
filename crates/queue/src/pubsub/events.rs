//! Events to a topic of Pub/Sub; and to the topic that the sender of the job named, where he may be answered there.

use super::{
    PubSubSettings,
    publisher::{Failure, Publisher},
    resources::Made,
};
use crate::{
    batch_events::{BatchMessage, Replies},
    instruments::{Instruments, Side},
    outage::Outage,
    usage_events::Topic,
};
use domain::Result;
use futures::future::join_all;
use google_cloud_pubsub::model::Message;
use tracing::warn;

/// A topic that has all events. Attributes say what subscribers may want to filter by: `type`, `tenant`, `submission_id`, `event_id`.
pub(crate) struct PubSubEvents {
    topic: String,
    replies: Replies,
    publisher: Publisher,
}

impl PubSubEvents {
    /// Connects in the background. Needs a runtime.
    ///
    /// # Errors
    /// For settings that can't be used.
    pub(crate) fn new(settings: &PubSubSettings, topic: &Topic, replies: Replies) -> Result<Self> {
        let topics: Vec<_> =
            [topic].into_iter().chain(replies.topics()).map(|topic| topic.as_str().to_owned()).collect();
        let made = |topic: &String| Made { topic: topic.clone(), subscription: None };
        let site = settings.site(|| topics.iter().map(made).collect())?;
        let outage = Outage::new(Side::Events, Instruments::new("pubsub"));
        let publisher = Publisher::new(site, topics, settings.publish_timeout(), outage);
        Ok(Self { topic: topic.as_str().to_owned(), replies, publisher })
    }

    /// Publishes; says of each whether Pub/Sub has it.
    pub(crate) async fn publish(&self, messages: &[BatchMessage]) -> Vec<Result<()>> {
        join_all(messages.iter().map(|message| self.publish_one(message))).await
    }

    async fn publish_one(&self, message: &BatchMessage) -> Result<()> {
        if let Some(reply_to) = &message.reply_to {
            self.reply(message, reply_to).await?;
        }
        self.publisher
            .within_deadline(async move |clients| Ok(clients.publish(&self.topic, to_message(message)).await?))
            .await
    }

    /// A topic that can't be published to is the sender's loss: everybody's events would be held up, and told over and over.
    async fn reply(&self, message: &BatchMessage, reply_to: &str) -> Result<()> {
        let Some(topic) = self.replies.topic(reply_to) else {
            warn!(event = message.id, reply_to, "nothing is replied: the topic is not in events.reply_topics");
            return Ok(());
        };
        let published = self.publisher.within_deadline(async move |clients| {
            match clients.publish(topic.as_str(), to_message(message)).await {
                Err(refusal) if refusal.is_final() => {
                    warn!(event = message.id, %topic, error = %refusal, "the topic did not take the reply");
                    Ok(())
                }
                // That this topic fails says nothing of the other.
                published => published.map_err(|refusal| Failure::PubSub(refusal.to_string())),
            }
        });
        published.await
    }
}

fn to_message(message: &BatchMessage) -> Message {
    let fixed = [("event_id", message.id.as_str()), ("type", message.kind), ("tenant", message.tenant.as_str())];
    let submission = message.submission_id.as_deref().map(|id| ("submission_id", id));
    Message::new().set_data(message.json.clone()).set_attributes(fixed.into_iter().chain(submission))
}
