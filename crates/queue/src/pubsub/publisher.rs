//! The side that rings. A task keeps the clients; whoever rings uses those that it has, and fails at once while it has none.

use super::{
    LOOK_EVERY, Site,
    resources::{self, Resources},
};
use crate::{google::failed, outage::Outage};
use domain::{Error, Result};
use futures::future::try_join_all;
use google_cloud_gax::{error::rpc::Code, retry_policy::RetryPolicyExt};
use google_cloud_pubsub::{client::Publisher, error::PublishError, model::Message, retry_policy::RetryableErrors};
use rand::RngExt;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long the client collects pointers into one request.
const COLLECT: Duration = Duration::from_millis(1);

/// Between the loss of the clients and the first try to replace them, in milliseconds: an outage strikes all processes at once.
const SETTLE_MS: std::ops::Range<u64> = 50..250;

/// Publishes, and waits for Pub/Sub's word.
pub(super) struct Ringer {
    state: watch::Receiver<State>,
    deadline: Duration,
    _keeper: AbortOnDropHandle<()>,
}

/// What rings can count on.
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

struct Clients {
    pointers: Publisher,
    /// For what is no pointer.
    dead: Option<Publisher>,
    resources: Resources,
}

impl Ringer {
    /// Begins to connect. Needs a runtime.
    pub(super) fn new(site: Site, deadline: Duration, outage: Outage) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        let keeper = Keeper { site, deadline, outage, state: sender };
        Self { state, deadline, _keeper: AbortOnDropHandle::new(tokio::spawn(keeper.run())) }
    }

    /// Publishes pointers. Returns once Pub/Sub has confirmed all of them.
    pub(super) async fn ring(&self, messages: Vec<Vec<u8>>) -> Result<()> {
        let published = self.within_deadline(async move |clients| {
            let sending =
                messages.into_iter().map(|message| clients.pointers.publish(Message::new().set_data(message)));
            try_join_all(sending).await.map_err(|error| Failure::of(&error))
        });
        published.await.map(drop)
    }

    /// Publishes what is no pointer to the dead-letter topic, with the reason. False = there is none.
    pub(super) async fn bury(&self, message: Message, reason: &str) -> Result<bool> {
        let message = Message::new().set_data(message.data).set_attributes([("reason", reason)]);
        let published = self.within_deadline(async move |clients| {
            let Some(dead) = &clients.dead else { return Ok(false) };
            // That this topic fails says nothing of the other.
            dead.publish(message).await.map_err(|error| Failure::PubSub(error.to_string()))?;
            Ok(true)
        });
        published.await
    }

    /// Whether topic and subscription are there.
    pub(super) async fn health(&self) -> Result<()> {
        let looked = self.within_deadline(async move |clients| {
            let both = futures::try_join!(clients.resources.topic(), clients.resources.subscription());
            both.map_err(|error| Failure::PubSub(error.chain()))
        });
        looked.await.map(drop)
    }

    /// Does `work` with the clients, or says why not in time. Clients that failed are not used again.
    async fn within_deadline<T, F, D>(&self, work: F) -> Result<T>
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

/// Why nothing came of it.
enum Failure {
    /// Our way to Pub/Sub, or a topic that is gone; new clients may help.
    Connection(String),
    /// Pub/Sub would say the same to any client.
    PubSub(String),
}

impl Failure {
    fn of(error: &PublishError) -> Self {
        let code = match error {
            PublishError::Rpc(error) => error.status().map(|status| status.code),
            _ => None,
        };
        match code {
            Some(Code::PermissionDenied | Code::InvalidArgument | Code::ResourceExhausted) => {
                Self::PubSub(error.to_string())
            }
            _ => Self::Connection(error.to_string()),
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
        let names = &self.site.names;
        let resources = Resources::open(&way, names.clone(), self.site.create).await?;
        resources::or_may_not_look(resources.topic().await)?;
        let publisher = async |topic: &str| {
            let retrying = RetryableErrors.with_time_limit(self.deadline);
            let builder = way.publisher(topic).set_delay_threshold(COLLECT).with_retry_policy(retrying);
            builder.build().await.map_err(|error| failed("Pub/Sub can't be used", error))
        };
        let pointers = publisher(&names.topic).await?;
        let dead = match &names.dead {
            Some(dead) => Some(publisher(&dead.topic).await?),
            None => None,
        };
        Ok(Clients { pointers, dead, resources })
    }

    /// Gives the clients to those who ring until they have to be replaced; says why.
    async fn attend(&self, clients: &Arc<Clients>) -> String {
        let replace = CancellationToken::new();
        self.state.send_replace(State::Up(Arc::clone(clients), replace.clone()));
        while replace.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            if let Err(error) = resources::or_may_not_look(clients.resources.topic().await) {
                return error.chain();
            }
        }
        "a ring failed".to_owned()
    }
}
