//! The side that listens: a consumer on a connection of its own, for a broker that is short of memory blocks connections that publish.

use super::{
    hosts::{Broker, Hosts},
    queues::Queues,
    ringer::Ringer,
};
use crate::{Delivery, Verdict, instruments::Instruments, message, outage::Outage};
use domain::{Error, Result};
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture};
use lapin::{
    Acker, Consumer,
    message::Delivery as Message,
    options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions},
    types::FieldTable,
};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

/// Beyond this RabbitMQ advises against for quorum queues.
const MOST_SLOTS: usize = 1_000;

/// Hears pointers.
pub(super) struct Listener {
    pub(super) hosts: Hosts,
    pub(super) queues: Queues,
    pub(super) outage: Outage,
    pub(super) instruments: Instruments,
    /// For what is no pointer.
    pub(super) ringer: Arc<Ringer>,
}

impl Listener {
    /// Pointers, whatever happens to the connection. A connection that is lost takes what was fetched and not settled back to the
    /// queue, so no slot outlives its delivery.
    pub(super) fn hear(self, slots: usize) -> impl Stream<Item = Delivery> + Send {
        let most = slots.clamp(1, MOST_SLOTS);
        async_stream::stream! {
            let slots = Arc::new(Semaphore::new(most));
            loop {
                let (_broker, mut consumer) = self.outage.outlast(|| self.open(most), |_| {}).await;
                while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
                    match consumer.next().await {
                        Some(Ok(heard)) => if let Some(delivery) = self.read(heard, slot).await {
                            yield delivery;
                        },
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
        let broker = self.hosts.connect("tandem: listens").await?;
        let opened = async {
            self.queues.declare(broker.connection()).await?;
            let channel = broker.connection().create_channel().await?;
            let prefetch = u16::try_from(most).unwrap_or(u16::MAX);
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let (queue, options) = (self.queues.pointers.clone(), BasicConsumeOptions::default());
            channel.basic_consume(queue, "".into(), options, FieldTable::default()).await
        };
        let consumer = super::in_time(&self.hosts, opened).await?;
        Ok((broker, consumer))
    }

    /// The pointer in a message. What is none goes where an operator finds it, and never back to the queue.
    async fn read(&self, heard: Message, slot: OwnedSemaphorePermit) -> Option<Delivery> {
        let reason = match message::read(&heard.data) {
            Ok(pointer) => return Some(Delivery::new(pointer, settle(heard.acker, slot))),
            Err(reason) => reason,
        };
        self.instruments.unreadable();
        warn!(reason, queue = self.queues.dead.as_str(), "a message is no pointer; it goes to the dead-letter queue");
        let settled = match self.ringer.bury(heard.data, &reason).await {
            Ok(()) => heard.acker.ack(BasicAckOptions::default()).await,
            // The broker moves it by itself, only without the reason.
            Err(_) => heard.acker.reject(BasicRejectOptions { requeue: false }).await,
        };
        if let Err(error) = settled {
            warn!(%error, "a message that is no pointer will come again");
        }
        None
    }
}

/// Tells the broker what became of a delivery; until then it occupies `slot`.
fn settle(acker: Acker, slot: OwnedSemaphorePermit) -> impl FnOnce(Verdict) -> BoxFuture<'static, Result<()>> {
    move |verdict| {
        async move {
            let _slot = slot;
            let told = match verdict {
                Verdict::Ack => acker.ack(BasicAckOptions::default()).await,
                Verdict::Nack => acker.nack(BasicNackOptions { requeue: true, multiple: false }).await,
            };
            match told {
                Ok(true) => Ok(()),
                Ok(false) => Err(Error::unavailable("the connection that it came by is lost")),
                Err(error) => Err(Error::unavailable("RabbitMQ could not be told").with_source(error)),
            }
        }
        .boxed()
    }
}
