//! The dead letters of a queue of RabbitMQ.

use super::{
    RabbitMqSettings,
    hosts::Hosts,
    in_time,
    publisher::{judge, properties},
    queues::Queues,
};
use crate::dead_letters::{DeadLetter, DeadLetters, Judge, Sentence};
use async_trait::async_trait;
use domain::Result;
use lapin::{
    BasicProperties, Channel,
    options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions},
    types::AMQPValue,
};

/// `<queue>.dead`, over a connection for each look.
pub(crate) struct RabbitMqDeadLetters {
    hosts: Hosts,
    queues: Queues,
}

impl RabbitMqDeadLetters {
    /// # Errors
    /// For settings that can't be used.
    pub(crate) fn new(settings: &RabbitMqSettings, queue: &str) -> Result<Self> {
        Ok(Self { hosts: Hosts::read(settings)?, queues: Queues::named("the queue", queue)? })
    }

    async fn send_again(&self, channel: &Channel, message: &[u8]) -> Result<()> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sending = async {
            let sent = channel.basic_publish("".into(), self.queues.main.clone(), options, message, properties()).await;
            sent?.await
        };
        judge(&in_time(&self.hosts, sending).await?).map_err(Into::into)
    }
}

#[async_trait]
impl DeadLetters for RabbitMqDeadLetters {
    async fn sort(&self, most: usize, verdict: &Judge<'_>) -> Result<Vec<DeadLetter>> {
        let broker = self.hosts.connect("tandem: sorts dead letters").await?;
        let opened = async {
            self.queues.declare(broker.connection()).await?;
            let channel = broker.connection().create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            lapin::Result::Ok(channel)
        };
        let channel = in_time(&self.hosts, opened).await?;
        let mut kept = Vec::new();
        for _ in 0..most {
            let next = channel.basic_get(self.queues.dead.clone(), BasicGetOptions::default());
            let Some(next) = in_time(&self.hosts, next).await? else { break };
            let letter = DeadLetter::new(next.delivery.data.clone(), reason(&next.delivery.properties));
            match verdict(&letter) {
                // Not acknowledged, it is back in its place when the connection ends.
                Sentence::Keep => {
                    kept.push(letter);
                    continue;
                }
                Sentence::Redrive => self.send_again(&channel, &letter.message).await?,
                Sentence::Drop => {}
            }
            in_time(&self.hosts, next.delivery.acker.ack(BasicAckOptions::default())).await?;
        }
        Ok(kept)
    }
}

/// Ours, or the broker's own.
fn reason(properties: &BasicProperties) -> Option<String> {
    let headers = properties.headers().as_ref()?.inner();
    let text = |name: &str| match headers.get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    };
    text("x-reason").or_else(|| text("x-first-death-reason").map(|why| format!("RabbitMQ: {why}")))
}
