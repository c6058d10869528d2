//! The side that publishes. A task keeps one connection; whoever publishes uses the channel that it has, and fails at once while it
//! has none.

use super::{
    hosts::{Broker, Hosts},
    queues::Topology,
};
use crate::outage::Outage;
use domain::{Error, Result};
use futures::{StreamExt, future::try_join_all};
use lapin::{
    BasicProperties, Channel, Confirmation, Event,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};
use rand::RngExt;
use std::time::Duration;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Between the loss of a connection and the first try to replace it, in milliseconds: a restart of the broker loses all at once.
const SETTLE_MS: std::ops::Range<u64> = 50..250;

/// Publishes, and waits for the broker's word.
pub(super) struct Publisher {
    state: watch::Receiver<State>,
    deadline: Duration,
    _keeper: AbortOnDropHandle<()>,
}

/// A message and where it goes.
pub(super) struct Letter {
    /// None = straight to the queue that `key` names.
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    pub(super) message: Vec<u8>,
    pub(super) properties: BasicProperties,
    /// Whether it is an error when no queue gets it.
    pub(super) must_arrive: bool,
}

impl Letter {
    /// For a queue that has to be there.
    pub(super) fn to_queue(queue: &ShortString, message: Vec<u8>, properties: BasicProperties) -> Self {
        Self { exchange: "".into(), key: queue.clone(), message, properties, must_arrive: true }
    }
}

/// What those who publish can count on.
#[derive(Clone)]
enum State {
    /// A try is under way that may well succeed: worth a wait.
    Connecting,
    /// Connected. Cancelling the token has the connection replaced.
    Up(Channel, CancellationToken),
    /// Connected, but the broker takes nothing because it is short of memory or disk; why.
    Blocked(String),
    /// The last try failed; why.
    Away(String),
}

impl State {
    /// Whether waiting is of no use. A channel that is to be replaced is as good as none.
    fn is_known(&self) -> bool {
        match self {
            Self::Connecting => false,
            Self::Up(_, replace) => !replace.is_cancelled(),
            Self::Blocked(_) | Self::Away(_) => true,
        }
    }
}

impl Publisher {
    /// Begins to connect; `topology` is declared on each connection, and `purpose` is how the broker names it. Needs a runtime.
    pub(super) fn new(
        hosts: Hosts,
        topology: Topology,
        purpose: &'static str,
        deadline: Duration,
        outage: Outage,
    ) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        let keeper = Keeper { hosts, topology, purpose, outage, state: sender };
        let _keeper = AbortOnDropHandle::new(tokio::spawn(keeper.run()));
        Self { state, deadline, _keeper }
    }

    /// Publishes. Returns once the broker has confirmed all of them.
    pub(super) async fn publish(&self, letters: &[Letter]) -> Result<()> {
        let published = self.within_deadline(async move |channel: Channel| {
            let sending = letters.iter().map(|letter| {
                let options = BasicPublishOptions { mandatory: letter.must_arrive, ..BasicPublishOptions::default() };
                let (exchange, key) = (letter.exchange.clone(), letter.key.clone());
                channel.basic_publish(exchange, key, options, &letter.message, letter.properties.clone())
            });
            // All of them are under way before the first confirmation is awaited.
            let sent = try_join_all(sending).await.map_err(|error| Failure::of(&error))?;
            for confirmation in try_join_all(sent).await.map_err(|error| Failure::of(&error))? {
                judge(&confirmation)?;
            }
            Ok(())
        });
        published.await
    }

    /// How many messages of a queue nobody has fetched.
    pub(super) async fn depth(&self, queue: &ShortString) -> Result<u64> {
        let passive = QueueDeclareOptions::durable().passive();
        let asked = self.within_deadline(async move |channel: Channel| {
            let queue = channel.queue_declare(queue.clone(), passive, FieldTable::default()).await;
            queue.map(|queue| u64::from(queue.message_count())).map_err(|error| Failure::of(&error))
        });
        asked.await
    }

    /// Does `work` with a channel, or says why not in time. A channel that failed is not used again.
    async fn within_deadline<T, F, D>(&self, work: F) -> Result<T>
    where
        F: FnOnce(Channel) -> D,
        D: Future<Output = Result<T, Failure>>,
    {
        let mut used = None;
        let done = timeout(self.deadline, async {
            let (channel, replace) = self.channel().await?;
            used = Some(replace);
            work(channel).await
        });
        let failure = match done.await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(failure)) => failure,
            Err(_) => self.silence(),
        };
        if let (Failure::Connection(_), Some(replace)) = (&failure, used) {
            replace.cancel();
        }
        Err(failure.into())
    }

    /// The channel to use, once it is known whether there is one.
    async fn channel(&self) -> Result<(Channel, CancellationToken), Failure> {
        let mut state = self.state.clone();
        let known = state.wait_for(State::is_known).await;
        match known.as_deref() {
            Ok(State::Up(channel, replace)) => Ok((channel.clone(), replace.clone())),
            Ok(State::Blocked(why)) => Err(Failure::Broker(format!("it takes nothing at present: {why}"))),
            Ok(State::Away(why)) => Err(Failure::Broker(why.clone())),
            Ok(State::Connecting) | Err(_) => Err(Failure::Broker("nobody keeps the connection".to_owned())),
        }
    }

    fn silence(&self) -> Failure {
        let text = format!("no answer within {:?}", self.deadline);
        match *self.state.borrow() {
            // The connection is fine, and a new one would not be served either.
            State::Blocked(_) => Failure::Broker(text),
            _ => Failure::Connection(text),
        }
    }
}

/// Why nothing came of it.
pub(super) enum Failure {
    /// The broker, or our way to it; another connection may help.
    Connection(String),
    /// The broker would say the same on any connection.
    Broker(String),
}

impl Failure {
    fn of(error: &lapin::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

impl From<Failure> for Error {
    fn from((Failure::Connection(why) | Failure::Broker(why)): Failure) -> Self {
        Self::unavailable("RabbitMQ did not take it").with_source(why)
    }
}

/// Whether the broker has the message. An acknowledgement can carry the message back, when no queue got it.
pub(super) fn judge(confirmation: &Confirmation) -> Result<(), Failure> {
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        // A new connection declares the queue again.
        Confirmation::Ack(Some(back)) | Confirmation::Nack(Some(back)) => {
            Err(Failure::Connection(format!("it came back: {} {}", back.reply_code, back.reply_text)))
        }
        Confirmation::Nack(None) => Err(Failure::Broker("it was refused; a policy may limit the queue".to_owned())),
        Confirmation::NotRequested => Err(Failure::Connection("the channel does not confirm".to_owned())),
    }
}

/// Of a message in JSON that outlives a restart of the broker.
pub(super) fn properties() -> BasicProperties {
    const PERSISTENT: u8 = 2;
    BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(PERSISTENT)
}

/// Keeps a connection.
struct Keeper {
    hosts: Hosts,
    topology: Topology,
    purpose: &'static str,
    outage: Outage,
    state: watch::Sender<State>,
}

impl Keeper {
    async fn run(self) {
        loop {
            let away = |why: &str| {
                self.state.send_replace(State::Away(why.to_owned()));
            };
            let (broker, channel) = self.outage.outlast(|| self.open(), away).await;
            let why = self.attend(&broker, channel).await;
            self.outage.began(&why);
            self.state.send_replace(State::Connecting);
            drop(broker);
            let settle = rand::rng().random_range(SETTLE_MS);
            tokio::time::sleep(Duration::from_millis(settle)).await;
        }
    }

    async fn open(&self) -> Result<(Broker, Channel)> {
        let broker = self.hosts.connect(self.purpose).await?;
        let opened = async {
            self.topology.declare(broker.connection()).await?;
            let channel = broker.connection().create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            lapin::Result::Ok(channel)
        };
        let channel = super::in_time(&self.hosts, opened).await?;
        Ok((broker, channel))
    }

    /// Tells those who publish how the connection is, until it has to be replaced; says why.
    async fn attend(&self, broker: &Broker, channel: Channel) -> String {
        let mut events = broker.connection().events_listener();
        let replace = CancellationToken::new();
        let up = State::Up(channel, replace.clone());
        self.state.send_replace(up.clone());
        loop {
            tokio::select! {
                () = replace.cancelled() => return "something was not published".to_owned(),
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(why)) => {
                        self.outage.began(&why);
                        self.state.send_replace(State::Blocked(why));
                    }
                    Some(Event::ConnectionUnblocked) => {
                        self.outage.ended();
                        self.state.send_replace(up.clone());
                    }
                    Some(Event::Error(error)) => return error.to_string(),
                    Some(_) => {}
                    None => return "the connection ended".to_owned(),
                },
            }
        }
    }
}
