//! The side that listens: a consumer on a connection of its own, for a broker that is short of memory blocks connections that publish.

use super::{
    hosts::{Broker, Hosts},
    queues::Queues,
    ringer::Ringer,
};
use crate::{Verdict, outage::Outage};
use domain::{Error, Result};
use futures::{Stream, StreamExt};
use lapin::{
    Acker, Consumer,
    message::Delivery as Message,
    options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions},
    types::FieldTable,
};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Beyond this RabbitMQ advises against for quorum queues.
const MOST_SLOTS: usize = 1_000;

/// Hears what is in a queue of ours.
pub(super) struct Listener {
    pub(super) hosts: Hosts,
    pub(super) queues: Queues,
    pub(super) outage: Outage,
    /// How the broker names the connection.
    pub(super) purpose: &'static str,
}

/// A message, to be settled; until then it occupies a slot.
pub(super) struct Heard {
    pub(super) message: Vec<u8>,
    acker: Acker,
    slot: OwnedSemaphorePermit,
}

impl Listener {
    /// Messages, whatever happens to the connection. A connection that is lost takes what was fetched and not settled back to the
    /// queue, so no slot outlives its delivery.
    pub(super) fn hear(self, slots: usize) -> impl Stream<Item = Heard> + Send {
        let most = slots.clamp(1, MOST_SLOTS);
        async_stream::stream! {
            let slots = Arc::new(Semaphore::new(most));
            loop {
                let (_broker, mut consumer) = self.outage.outlast(|| self.open(most), |_| {}).await;
                while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
                    match consumer.next().await {
                        Some(Ok(Message { data, acker, .. })) => yield Heard { message: data, acker, slot },
                        Some(Err(error)) => {
                            self.outage.began(&error.to_string());
                            break;
                        }
                        None => {
                            self.outage.began("the broker ended the subscription");
                            break;
                        }
                    }
                }
            }
        }
    }

    async fn open(&self, most: usize) -> Result<(Broker, Consumer)> {
        let broker = self.hosts.connect(self.purpose).await?;
        let opened = async {
            self.queues.declare(broker.connection()).await?;
            let channel = broker.connection().create_channel().await?;
            let prefetch = u16::try_from(most).unwrap_or(u16::MAX);
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let (queue, options) = (self.queues.main.clone(), BasicConsumeOptions::default());
            channel.basic_consume(queue, "".into(), options, FieldTable::default()).await
        };
        let consumer = super::in_time(&self.hosts, opened).await?;
        Ok((broker, consumer))
    }
}

impl Heard {
    /// The message was no use: it goes where an operator finds it, and never back to the queue.
    pub(super) async fn bury(self, ringer: &Ringer, reason: &str) -> Result<()> {
        let settled = match ringer.bury(self.message, reason).await {
            Ok(()) => self.acker.ack(BasicAckOptions::default()).await,
            // The broker moves it by itself, only without the reason.
            Err(_) => self.acker.reject(BasicRejectOptions { requeue: false }).await,
        };
        judge(settled)
    }

    /// Tells the broker what became of it.
    pub(super) async fn settle(self, verdict: Verdict) -> Result<()> {
        let _slot = self.slot;
        judge(match verdict {
            Verdict::Ack => self.acker.ack(BasicAckOptions::default()).await,
            Verdict::Nack => self.acker.nack(BasicNackOptions { requeue: true, multiple: false }).await,
        })
    }
}

fn judge(told: lapin::Result<bool>) -> Result<()> {
    match told {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::unavailable("the connection that it came by is lost")),
        Err(error) => Err(Error::unavailable("RabbitMQ could not be told").with_source(error)),
    }
}
