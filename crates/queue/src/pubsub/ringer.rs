//! What is published to one of our topics, and to its dead letters.

use super::{
    Site,
    names::Names,
    publisher::{Failure, Publisher},
};
use crate::{dead_letters, outage::Outage};
use domain::Result;
use futures::future::try_join_all;
use google_cloud_pubsub::model::Message;
use std::time::Duration;

/// The attribute of a dead letter that says why it is one.
pub(super) const REASON: &str = "reason";

/// Publishes to a topic of ours.
pub(super) struct Ringer {
    publisher: Publisher,
    names: Names,
}

impl Ringer {
    /// Connects in the background. Needs a runtime.
    pub(super) fn new(site: Site, names: Names, deadline: Duration, outage: Outage) -> Self {
        let dead = names.dead.as_ref().map(|dead| dead.topic.clone());
        let topics = [names.topic.clone()].into_iter().chain(dead).collect();
        Self { publisher: Publisher::new(site, topics, deadline, outage), names }
    }

    /// One for dead letters only.
    pub(super) fn of_dead_letters(site: Site, names: Names, deadline: Duration, outage: Outage) -> Self {
        let topics = names.dead.iter().map(|dead| dead.topic.clone()).collect();
        Self { publisher: Publisher::new(site, topics, deadline, outage), names }
    }

    /// Publishes pointers. Returns once Pub/Sub has confirmed all of them.
    pub(super) async fn ring(&self, messages: Vec<Vec<u8>>) -> Result<()> {
        let topic = self.names.topic.as_str();
        let published = self.publisher.within_deadline(async move |clients| {
            let sending = messages.into_iter().map(|message| clients.publish(topic, Message::new().set_data(message)));
            try_join_all(sending).await.map_err(Failure::from)
        });
        published.await.map(drop)
    }

    /// Publishes what can't be used to the dead-letter topic, with the reason. False = there is none.
    pub(super) async fn bury(&self, message: &Message, reason: &str) -> Result<bool> {
        let Some(dead) = &self.names.dead else { return Ok(false) };
        let reason = dead_letters::short(reason);
        let message = Message::new().set_data(message.data.clone()).set_attributes([(REASON, reason)]);
        let published = self.publisher.within_deadline(async move |clients| {
            // That this topic fails says nothing of the other.
            clients.publish(&dead.topic, message).await.map_err(|error| Failure::PubSub(error.to_string()))
        });
        published.await.map(|()| true)
    }

    /// Whether topic and subscription are there.
    pub(super) async fn health(&self) -> Result<()> {
        let Names { topic, subscription, .. } = &self.names;
        let looked = self.publisher.within_deadline(async move |clients| {
            let resources = &clients.resources;
            let both = futures::try_join!(resources.topic(topic), resources.subscription(subscription));
            both.map_err(|error| Failure::PubSub(error.chain()))
        });
        looked.await.map(drop)
    }
}
