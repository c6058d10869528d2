//! The side that publishes. A task keeps the clients; whoever publishes uses those that it has, and fails at once while it has none.

use super::{
    LOOK_EVERY, Site,
    resources::{self, Resources},
};
use crate::{google::failed, outage::Outage};
use domain::{Error, Result};
use google_cloud_gax::{error::rpc::Code, retry_policy::RetryPolicyExt};
use google_cloud_pubsub::{client, error::PublishError, model::Message, retry_policy::RetryableErrors};
use rand::RngExt;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long the client collects messages into one request.
const COLLECT: Duration = Duration::from_millis(1);

/// Between the loss of the clients and the first try to replace them, in milliseconds: an outage strikes all processes at once.
const SETTLE_MS: std::ops::Range<u64> = 50..250;

/// Publishes, and waits for Pub/Sub's word.
pub(super) struct Publisher {
    state: watch::Receiver<State>,
    deadline: Duration,
    _keeper: AbortOnDropHandle<()>,
}

/// What those who publish can count on.
#[derive(Clone)]
enum State {
    /// A try is under way that may well succeed: worth a wait.
    Connecting,
    /// Clients that worked. Cancelling the token has them replaced.
    Up(Arc<Clients>, CancellationToken),
    /// The last try failed; why.
    Away(String),
}

impl State {
    /// Whether waiting is of no use. Clients that are to be replaced are as good as none.
    fn is_known(&self) -> bool {
        match self {
            Self::Connecting => false,
            Self::Up(_, replace) => !replace.is_cancelled(),
            Self::Away(_) => true,
        }
    }
}

/// A client for each topic.
pub(super) struct Clients {
    publishers: BTreeMap<String, client::Publisher>,
    pub(super) resources: Resources,
}

impl Clients {
    /// Publishes to a topic that the publisher was made for. Pub/Sub has it when this returns.
    pub(super) async fn publish(&self, topic: &str, message: Message) -> Result<(), Refusal> {
        let publisher = self.publishers.get(topic).ok_or_else(|| Refusal::Unknown(topic.to_owned()))?;
        publisher.publish(message).await.map(drop).map_err(Refusal::Publish)
    }
}

impl Publisher {
    /// Begins to connect, to publish to `topics`; whether the first of them is there is looked at now and then. Needs a runtime.
    pub(super) fn new(site: Site, topics: Vec<String>, deadline: Duration, outage: Outage) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        let keeper = Keeper { site, topics, deadline, outage, state: sender };
        Self { state, deadline, _keeper: AbortOnDropHandle::new(tokio::spawn(keeper.run())) }
    }

    /// Does `work` with the clients, or says why not in time. Clients that failed are not used again.
    pub(super) async fn within_deadline<T, F, D>(&self, work: F) -> Result<T>
    where
        F: FnOnce(Arc<Clients>) -> D,
        D: Future<Output = Result<T, Failure>>,
    {
        let mut used = None;
        let done = timeout(self.deadline, async {
            let (clients, replace) = self.clients().await?;
            used = Some(replace);
            work(clients).await
        });
        let failure = match done.await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Connection(format!("no answer within {:?}", self.deadline)),
        };
        if let (Failure::Connection(_), Some(replace)) = (&failure, used) {
            replace.cancel();
        }
        Err(failure.into())
    }

    /// The clients to use, once it is known whether there are any.
    async fn clients(&self) -> Result<(Arc<Clients>, CancellationToken), Failure> {
        let mut state = self.state.clone();
        let known = state.wait_for(State::is_known).await;
        match known.as_deref() {
            Ok(State::Up(clients, replace)) => Ok((Arc::clone(clients), replace.clone())),
            Ok(State::Away(why)) => Err(Failure::PubSub(why.clone())),
            Ok(State::Connecting) | Err(_) => Err(Failure::PubSub("nobody keeps the connection".to_owned())),
        }
    }
}

/// Why a topic has no message.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Said by the client, or by Pub/Sub.
    Publish(PublishError),
    /// The publisher was made for other topics.
    Unknown(String),
}

impl Refusal {
    /// Whether another try would end as this one did: the topic is gone, closed to us, or does not want such a message.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.code(), Some(Code::NotFound | Code::PermissionDenied | Code::InvalidArgument))
    }

    fn code(&self) -> Option<Code> {
        match self {
            Self::Publish(PublishError::Rpc(error)) => error.status().map(|status| status.code),
            _ => None,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Publish(error) => error.fmt(f),
            Self::Unknown(topic) => write!(f, "nothing is published to {topic} here"),
        }
    }
}

/// Why nothing came of it.
pub(super) enum Failure {
    /// Our way to Pub/Sub, or a topic that is gone; new clients may help.
    Connection(String),
    /// Pub/Sub would say the same to any client.
    PubSub(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal.code() {
            Some(Code::PermissionDenied | Code::InvalidArgument | Code::ResourceExhausted) => {
                Self::PubSub(refusal.to_string())
            }
            _ => Self::Connection(refusal.to_string()),
        }
    }
}

impl From<Failure> for Error {
    fn from((Failure::Connection(why) | Failure::PubSub(why)): Failure) -> Self {
        failed("Pub/Sub did not take it", why)
    }
}

/// Keeps the clients.
struct Keeper {
    site: Site,
    topics: Vec<String>,
    deadline: Duration,
    outage: Outage,
    state: watch::Sender<State>,
}

impl Keeper {
    async fn run(self) {
        loop {
            let away = |why: &str| {
                self.state.send_replace(State::Away(why.to_owned()));
            };
            let clients = Arc::new(self.outage.outlast(|| self.open(), away).await);
            let why = self.attend(&clients).await;
            self.outage.began(&why);
            self.state.send_replace(State::Connecting);
            drop(clients);
            let settle = rand::rng().random_range(SETTLE_MS);
            tokio::time::sleep(Duration::from_millis(settle)).await;
        }
    }

    async fn open(&self) -> Result<Clients> {
        let way = self.site.place.way()?;
        let resources = Resources::open(&way, &self.site.made).await?;
        self.look(&resources).await?;
        let mut publishers = BTreeMap::new();
        for topic in &self.topics {
            let retrying = RetryableErrors.with_time_limit(self.deadline);
            let builder = way.publisher(topic).set_delay_threshold(COLLECT).with_retry_policy(retrying);
            let publisher = builder.build().await.map_err(|error| failed("Pub/Sub can't be used", error))?;
            publishers.insert(topic.clone(), publisher);
        }
        Ok(Clients { publishers, resources })
    }

    async fn look(&self, resources: &Resources) -> Result<()> {
        match self.topics.first() {
            Some(topic) => resources::or_may_not_look(resources.topic(topic).await),
            None => Ok(()),
        }
    }

    /// Gives the clients to those who publish until they have to be replaced; says why.
    async fn attend(&self, clients: &Arc<Clients>) -> String {
        let replace = CancellationToken::new();
        self.state.send_replace(State::Up(Arc::clone(clients), replace.clone()));
        while replace.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            if let Err(error) = self.look(&clients.resources).await {
                return error.chain();
            }
        }
        "a message did not get through".to_owned()
    }
}
