//! Events to an exchange of RabbitMQ, by what happened; and to the queue of whoever submitted the job, if he named one.

use super::{
    RabbitMqSettings,
    hosts::Hosts,
    publisher::{Letter, Publisher, properties},
    queues::{Topology, judge_name},
};
use crate::{
    batch_events::BatchMessage,
    instruments::{Instruments, Side},
    outage::Outage,
};
use domain::Result;
use futures::future::join_all;
use lapin::types::ShortString;

/// A topic exchange; the routing key is what happened, as `batch.completed`.
pub(crate) struct RabbitMqEvents {
    exchange: ShortString,
    publisher: Publisher,
}

impl RabbitMqEvents {
    /// Connects in the background. Needs a runtime.
    ///
    /// # Errors
    /// For settings that can't be used.
    pub(crate) fn new(settings: &RabbitMqSettings, exchange: &str) -> Result<Self> {
        let (hosts, exchange) = (Hosts::read(settings)?, judge_name("events.batch_exchange", exchange)?);
        let outage = Outage::new(Side::Events, Instruments::new("rabbitmq"));
        let topology = Topology::Exchange(exchange.clone());
        let publisher = Publisher::new(hosts, topology, "tandem: tells events", settings.publish_timeout(), outage);
        Ok(Self { exchange, publisher })
    }

    /// Publishes; says of each whether the broker has it. That nobody listens is no error.
    pub(crate) async fn publish(&self, messages: &[BatchMessage]) -> Vec<Result<()>> {
        let tell = async |message| self.publisher.publish(&self.letters(message).collect::<Vec<_>>()).await;
        join_all(messages.iter().map(tell)).await
    }

    fn letters(&self, message: &BatchMessage) -> impl Iterator<Item = Letter> {
        let mut properties = properties().with_message_id(message.id.as_str().into()).with_type(message.kind.into());
        if let Some(submission) = &message.submission_id {
            properties = properties.with_correlation_id(submission.as_str().into());
        }
        let letter = |exchange: &str, key: &str| Letter {
            exchange: exchange.into(),
            key: key.into(),
            message: message.json.clone(),
            properties: properties.clone(),
            must_arrive: false,
        };
        let reply = message.reply_to.as_ref().map(|queue| letter("", queue));
        [letter(self.exchange.as_str(), message.kind)].into_iter().chain(reply)
    }
}
