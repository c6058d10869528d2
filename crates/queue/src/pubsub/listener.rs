//! The side that listens. The client opens its stream again after errors that it takes for passing, and tells nobody: whether somebody
//! is there is asked in the silence.

use super::{
    LOOK_EVERY, Site,
    resources::{self, Resources},
};
use crate::{Verdict, google::failed, outage::Outage};
use domain::Result;
use futures::{
    Stream, StreamExt,
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

/// Pub/Sub allows a stream more, but nobody claims so much at once.
const MOST_SLOTS: usize = 1_000;

/// How long Pub/Sub waits for a process that died with a message. The client asks for more time while it is held.
const HOLD: Duration = Duration::from_secs(20);

/// A subscription that is refused is so at once; one that was not after this time is taken to be open.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// After so many looks in silence the stream gets a new connection, as nothing shows whether its old one is still alive.
const MOST_LOOKS: u32 = 30;

/// How long a message that came in excess of the slots is kept for one of them.
const FOR_A_SLOT: Duration = Duration::from_millis(100);

type Received = (Message, Handler);

/// Hears what comes over a subscription.
pub(super) struct Listener {
    pub(super) site: Site,
    pub(super) subscription: String,
    pub(super) outage: Outage,
    /// How long a message is kept from others at most, whatever its holder does.
    pub(super) longest_hold: Duration,
}

/// A message, to be settled; until then it occupies a slot.
pub(super) struct Heard {
    pub(super) message: Message,
    handler: Handler,
    _slot: OwnedSemaphorePermit,
}

impl Heard {
    /// Tells Pub/Sub what became of it. The client sends what is settled in batches and does not say whether it arrived; where it did
    /// not, the message comes again.
    pub(super) fn settle(self, verdict: Verdict) {
        match verdict {
            Verdict::Ack => self.handler.ack(),
            Verdict::Nack => self.handler.nack(),
        }
    }
}

impl Listener {
    /// Messages, whatever happens to the connection. They are read as they come, so that whatever was sent here is known, and given back
    /// when the stream is dropped: what nobody read would be kept from others until it lapses.
    pub(super) fn hear(self, slots: usize) -> impl Stream<Item = Heard> + Send {
        let most = slots.clamp(1, MOST_SLOTS);
        async_stream::stream! {
            let (sender, mut messages) = mpsc::channel(most);
            let _reader = AbortOnDropHandle::new(tokio::spawn(self.read(most, sender)));
            while let Some(heard) = messages.recv().await {
                yield heard;
            }
        }
    }

    /// Reads until nobody listens any more.
    async fn read(self, most: usize, messages: mpsc::Sender<Heard>) {
        let slots = Arc::new(Semaphore::new(most));
        let mut line = None;
        loop {
            let (message, handler) = self.next(&mut line, most).await;
            // Pub/Sub sends no more than there are slots. Its emulator does, and gets back what nobody has room for.
            let Ok(slot) = timeout(FOR_A_SLOT, Arc::clone(&slots).acquire_owned()).await else {
                handler.nack();
                continue;
            };
            let Ok(slot) = slot else { return };
            if messages.send(Heard { message, handler, _slot: slot }).await.is_err() {
                return;
            }
        }
    }

    /// What comes next, over `line` or one that replaces it.
    async fn next(&self, line: &mut Option<Line>, most: usize) -> Received {
        loop {
            let open = match line {
                Some(open) => open,
                None => line.insert(self.outage.outlast(|| Line::open(self, most), |_| {}).await),
            };
            match open.next().await {
                Ok(Some(received)) => return received,
                Ok(None) => {}
                Err(error) => self.outage.began(&error.chain()),
            }
            *line = None;
        }
    }
}

/// A stream of messages, and a look at the subscription.
struct Line {
    resources: Resources,
    subscription: String,
    /// What came while it was opened.
    first: Option<Received>,
    received: BoxStream<'static, google_cloud_pubsub::Result<Received>>,
}

impl Line {
    async fn open(listener: &Listener, most: usize) -> Result<Self> {
        let Listener { site, subscription, longest_hold, .. } = listener;
        let way = site.place.way()?;
        let resources = Resources::open(&way, &site.made).await?;
        resources::or_may_not_look(resources.subscription(subscription).await)?;
        let subscriber = way.subscriber().build().await.map_err(broken)?;
        let stream = subscriber
            .subscribe(subscription)
            .set_max_outstanding_messages(i64::try_from(most).unwrap_or(i64::MAX))
            .set_max_lease(*longest_hold)
            .set_max_lease_extension(HOLD)
            .build();
        let mut line = Self { resources, subscription: subscription.clone(), first: None, received: messages(stream) };
        line.first = match timeout(REFUSED_WITHIN, line.received.next()).await {
            Ok(first) => Some(or_broken(first)?),
            Err(_) => None,
        };
        Ok(line)
    }

    /// The next message. None = it was silent for long, and should be replaced.
    ///
    /// # Errors
    /// When Pub/Sub ends the stream, or does not answer any more.
    async fn next(&mut self) -> Result<Option<Received>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        for _ in 0..MOST_LOOKS {
            if let Ok(received) = timeout(LOOK_EVERY, self.received.next()).await {
                return or_broken(received).map(Some);
            }
            resources::or_may_not_look(self.resources.subscription(&self.subscription).await)?;
        }
        Ok(None)
    }
}

/// As a stream, whose items can be waited for now and then: the client's own future opens the subscription anew whenever it is dropped.
fn messages(stream: MessageStream) -> BoxStream<'static, google_cloud_pubsub::Result<Received>> {
    unfold(stream, async |mut stream| stream.next().await.map(|received| (received, stream))).boxed()
}

fn or_broken(received: Option<google_cloud_pubsub::Result<Received>>) -> Result<Received> {
    match received {
        Some(received) => received.map_err(broken),
        None => Err(broken("the stream ended")),
    }
}

fn broken(cause: impl std::fmt::Display) -> domain::Error {
    failed("Pub/Sub can't be listened to", cause)
}
