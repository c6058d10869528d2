//! Jobs from a queue of RabbitMQ.

use super::{
    RabbitMqSettings,
    hosts::Hosts,
    listener::{Heard, Listener},
    queues::Queues,
    ringer::{self, Ringer},
};
use crate::{
    Submissions, Submitted, Verdict,
    instruments::{Instruments, Side},
    outage::Outage,
    submissions::Fate,
};
use async_trait::async_trait;
use domain::Result;
use futures::{FutureExt, StreamExt, stream::BoxStream};
use std::sync::Arc;

/// A queue that senders publish to, `<queue>`, and its dead letters, `<queue>.dead`.
pub(crate) struct RabbitMqSubmissions {
    hosts: Hosts,
    queues: Queues,
    instruments: Instruments,
    ringer: Arc<Ringer>,
}

impl RabbitMqSubmissions {
    /// Connects in the background. Needs a runtime.
    ///
    /// # Errors
    /// For settings that can't be used.
    pub(crate) fn new(settings: &RabbitMqSettings, queue: &str) -> Result<Self> {
        let (hosts, queues) = (Hosts::read(settings)?, Queues::named("submissions.queue", queue)?);
        let instruments = Instruments::new("rabbitmq");
        let outage = Outage::new(Side::Submissions, instruments.clone());
        let ringer = Arc::new(ringer::open(&hosts, &queues, "tandem: refuses jobs", settings, outage));
        Ok(Self { hosts, queues, instruments, ringer })
    }
}

#[async_trait]
impl Submissions for RabbitMqSubmissions {
    async fn listen(&self, slots: usize) -> Result<BoxStream<'static, Submitted>> {
        let listener = Listener {
            hosts: self.hosts.clone(),
            queues: self.queues.clone(),
            outage: Outage::new(Side::Submissions, self.instruments.clone()),
            purpose: "tandem: reads jobs",
        };
        let ringer = Arc::clone(&self.ringer);
        let submitted = move |heard: Heard| {
            let ringer = Arc::clone(&ringer);
            Submitted::new(heard.message.clone(), move |fate| settle(heard, ringer, fate).boxed())
        };
        Ok(listener.hear(slots).map(submitted).boxed())
    }
}

async fn settle(heard: Heard, ringer: Arc<Ringer>, fate: Fate) -> Result<()> {
    match fate {
        Fate::Accepted => heard.settle(Verdict::Ack).await,
        Fate::Refused(reason) => heard.bury(&ringer, &reason).await,
        Fate::Again => heard.settle(Verdict::Nack).await,
    }
}
