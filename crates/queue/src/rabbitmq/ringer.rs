//! What is published to one of our queues, and to its dead letters.

use super::{
    RabbitMqSettings,
    hosts::Hosts,
    publisher::{Letter, Publisher, properties},
    queues::{Queues, Topology},
};
use crate::{dead_letters, outage::Outage};
use domain::Result;
use lapin::types::{AMQPValue, FieldTable};

/// Publishes to a queue of ours.
pub(super) struct Ringer {
    publisher: Publisher,
    queues: Queues,
}

/// Connects in the background; `purpose` is how the broker names the connection. Needs a runtime.
pub(super) fn open(
    hosts: &Hosts,
    queues: &Queues,
    purpose: &'static str,
    settings: &RabbitMqSettings,
    outage: Outage,
) -> Ringer {
    let topology = Topology::Queues(queues.clone());
    let publisher = Publisher::new(hosts.clone(), topology, purpose, settings.publish_timeout(), outage);
    Ringer { publisher, queues: queues.clone() }
}

impl Ringer {
    /// Publishes messages. Returns once the broker has confirmed all of them.
    pub(super) async fn ring(&self, messages: Vec<Vec<u8>>) -> Result<()> {
        let letter = |message| Letter::to_queue(&self.queues.main, message, properties());
        self.publisher.publish(&messages.into_iter().map(letter).collect::<Vec<_>>()).await
    }

    /// Publishes what can't be used to the dead-letter queue, with the reason.
    pub(super) async fn bury(&self, message: Vec<u8>, reason: &str) -> Result<()> {
        let mut headers = FieldTable::default();
        headers.insert("x-reason".into(), AMQPValue::LongString(dead_letters::short(reason).into()));
        let letter = Letter::to_queue(&self.queues.dead, message, properties().with_headers(headers));
        self.publisher.publish(&[letter]).await
    }

    /// How many messages nobody has fetched.
    pub(super) async fn depth(&self) -> Result<u64> {
        self.publisher.depth(&self.queues.main).await
    }
}
