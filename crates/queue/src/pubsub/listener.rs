//! The side that listens. The client opens its stream again after errors that it takes for passing, and tells nobody: whether somebody
//! is there is asked in the silence.

use super::{
    LOOK_EVERY, Site,
    resources::{self, Resources},
    ringer::Ringer,
};
use crate::{Delivery, Verdict, google::failed, instruments::Instruments, message, outage::Outage};
use domain::{Pointer, Result};
use futures::{
    FutureExt, Stream, StreamExt,
    stream::{BoxStream, unfold},
};
use google_cloud_pubsub::{
    model::Message,
    subscriber::{MessageStream, handler::Handler},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

/// Pub/Sub allows a stream more, but nobody claims so much at once.
const MOST_SLOTS: usize = 1_000;

/// How long a delivery is kept from others at most, whatever its holder does: a claim takes less.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// How long Pub/Sub waits for a process that died with a delivery. The client asks for more time while it is held.
const HOLD: Duration = Duration::from_secs(20);

/// A subscription that is refused is so at once; one that was not after this time is taken to be open.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// After so many looks in silence the stream gets a new connection, as nothing shows whether its old one is still alive.
const MOST_LOOKS: u32 = 30;

/// How long a message that came in excess of the slots is kept for one of them.
const FOR_A_SLOT: Duration = Duration::from_millis(100);

type Heard = (Message, Handler);

/// Hears pointers.
pub(super) struct Listener {
    pub(super) site: Site,
    pub(super) outage: Outage,
    pub(super) instruments: Instruments,
    /// For what is no pointer.
    pub(super) ringer: Arc<Ringer>,
}

impl Listener {
    /// Pointers, whatever happens to the connection. They are read as they come, so that whatever was sent here is known, and given back
    /// when the stream is dropped: what nobody read would be kept from others until it lapses.
    pub(super) fn hear(self, slots: usize) -> impl Stream<Item = Delivery> + Send {
        let most = slots.clamp(1, MOST_SLOTS);
        async_stream::stream! {
            let (sender, mut deliveries) = mpsc::channel(most);
            let _reader = AbortOnDropHandle::new(tokio::spawn(self.read(most, sender)));
            while let Some(delivery) = deliveries.recv().await {
                yield delivery;
            }
        }
    }

    /// Reads until nobody listens any more.
    async fn read(self, most: usize, deliveries: mpsc::Sender<Delivery>) {
        let slots = Arc::new(Semaphore::new(most));
        let mut line = None;
        loop {
            let (heard, handler) = self.next(&mut line, most).await;
            let pointer = match message::read(&heard.data) {
                Ok(pointer) => pointer,
                Err(reason) => {
                    self.bury(heard, &reason).await;
                    handler.ack();
                    continue;
                }
            };
            // Pub/Sub sends no more than there are slots. Its emulator does, and gets back what nobody has room for.
            let Ok(slot) = timeout(FOR_A_SLOT, Arc::clone(&slots).acquire_owned()).await else {
                handler.nack();
                continue;
            };
            let Ok(slot) = slot else { return };
            if deliveries.send(delivery(pointer, handler, slot)).await.is_err() {
                return;
            }
        }
    }

    /// What comes next, over `line` or one that replaces it.
    async fn next(&self, line: &mut Option<Line>, most: usize) -> Heard {
        loop {
            let open = match line {
                Some(open) => open,
                None => line.insert(self.outage.outlast(|| Line::open(&self.site, most), |_| {}).await),
            };
            match open.next().await {
                Ok(Some(heard)) => return heard,
                Ok(None) => {}
                Err(error) => self.outage.began(&error.chain()),
            }
            *line = None;
        }
    }

    /// Moves what is no pointer out of the way, or says that it is dropped: it would come again at once, and for ever.
    async fn bury(&self, message: Message, reason: &str) {
        self.instruments.unreadable();
        let (id, bytes) = (message.message_id.clone(), message.data.len());
        match self.ringer.bury(message, reason).await {
            Ok(true) => warn!(reason, id, "a message is no pointer; it goes to the dead-letter topic"),
            Ok(false) => {
                warn!(reason, id, bytes, "a message is no pointer; it is dropped, as no dead-letter topic is set")
            }
            Err(error) => {
                let error = error.chain();
                warn!(
                    reason,
                    id,
                    bytes,
                    error,
                    "a message is no pointer; it is dropped, as the dead-letter topic is out of order"
                );
            }
        }
    }
}

/// A delivery that occupies `slot` until it is settled. The client sends what is settled in batches and does not say whether it
/// arrived; where it did not, the delivery comes again.
fn delivery(pointer: Pointer, handler: Handler, slot: OwnedSemaphorePermit) -> Delivery {
    Delivery::new(pointer, move |verdict| {
        async move {
            match verdict {
                Verdict::Ack => handler.ack(),
                Verdict::Nack => handler.nack(),
            }
            drop(slot);
            Ok(())
        }
        .boxed()
    })
}

/// A stream of messages, and a look at the subscription.
struct Line {
    resources: Resources,
    /// What came while it was opened.
    first: Option<Heard>,
    heard: BoxStream<'static, google_cloud_pubsub::Result<Heard>>,
}

impl Line {
    async fn open(site: &Site, most: usize) -> Result<Self> {
        let way = site.place.way()?;
        let resources = Resources::open(&way, site.names.clone(), site.create).await?;
        resources::or_may_not_look(resources.subscription().await)?;
        let subscriber = way.subscriber().build().await.map_err(broken)?;
        let stream = subscriber
            .subscribe(&site.names.subscription)
            .set_max_outstanding_messages(i64::try_from(most).unwrap_or(i64::MAX))
            .set_max_lease(LONGEST_HOLD)
            .set_max_lease_extension(HOLD)
            .build();
        let mut line = Self { resources, first: None, heard: messages(stream) };
        line.first = match timeout(REFUSED_WITHIN, line.heard.next()).await {
            Ok(first) => Some(or_broken(first)?),
            Err(_) => None,
        };
        Ok(line)
    }

    /// The next message. None = it was silent for long, and should be replaced.
    ///
    /// # Errors
    /// When Pub/Sub ends the stream, or does not answer any more.
    async fn next(&mut self) -> Result<Option<Heard>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        for _ in 0..MOST_LOOKS {
            if let Ok(heard) = timeout(LOOK_EVERY, self.heard.next()).await {
                return or_broken(heard).map(Some);
            }
            resources::or_may_not_look(self.resources.subscription().await)?;
        }
        Ok(None)
    }
}

/// As a stream, whose items can be waited for now and then: the client's own future opens the subscription anew whenever it is dropped.
fn messages(stream: MessageStream) -> BoxStream<'static, google_cloud_pubsub::Result<Heard>> {
    unfold(stream, async |mut stream| stream.next().await.map(|heard| (heard, stream))).boxed()
}

fn or_broken(heard: Option<google_cloud_pubsub::Result<Heard>>) -> Result<Heard> {
    match heard {
        Some(heard) => heard.map_err(broken),
        None => Err(broken("the stream ended")),
    }
}

fn broken(cause: impl std::fmt::Display) -> domain::Error {
    failed("Pub/Sub can't be listened to", cause)
}
