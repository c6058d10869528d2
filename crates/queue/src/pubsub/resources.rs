//! Topics and subscriptions: whether they are there, and making them where settings ask for it.

use crate::google::{Way, failed};
use domain::{Error, Kind, Result};
use google_cloud_gax::{error::rpc::Code, retry_policy::NeverRetry};
use google_cloud_pubsub::client::{SubscriptionAdmin, TopicAdmin};
use std::time::Duration;
use tokio::time::timeout;

/// How long an answer may take. Nothing of this is in the way of a ring.
const ANSWER: Duration = Duration::from_secs(5);

/// Something that is made where it does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) topic: String,
    /// Keeps what is published there.
    pub(super) subscription: Option<String>,
}

/// The resources as an administrator sees them, over connections of their own.
pub(super) struct Resources {
    topics: TopicAdmin,
    subscriptions: SubscriptionAdmin,
}

impl Resources {
    /// Connects. Makes what is to be `made`, all of it, because a topic keeps nothing for subscriptions that come later.
    ///
    /// # Errors
    /// When Pub/Sub does not answer, or refuses.
    pub(super) async fn open(way: &Way, made: &[Made]) -> Result<Self> {
        let topics = way.topics().with_retry_policy(NeverRetry).build().await.map_err(not_reached)?;
        let subscriptions = way.subscriptions().with_retry_policy(NeverRetry).build().await.map_err(not_reached)?;
        let resources = Self { topics, subscriptions };
        for made in made {
            resources.make(made).await?;
        }
        Ok(resources)
    }

    /// Whether a topic is there.
    ///
    /// # Errors
    /// When it is not, or when that can't be found out.
    pub(super) async fn topic(&self, name: &str) -> Result<()> {
        in_time(self.topics.get_topic().set_topic(name).send()).await.map(drop)
    }

    /// Whether a subscription is there.
    ///
    /// # Errors
    /// When it is not, or when that can't be found out.
    pub(super) async fn subscription(&self, name: &str) -> Result<()> {
        in_time(self.subscriptions.get_subscription().set_subscription(name).send()).await.map(drop)
    }

    async fn make(&self, made: &Made) -> Result<()> {
        unless_there(in_time(self.topics.create_topic().set_name(&made.topic).send()).await)?;
        let Some(subscription) = &made.subscription else { return Ok(()) };
        let subscribing = self.subscriptions.create_subscription().set_name(subscription).set_topic(&made.topic);
        unless_there(in_time(subscribing.send()).await)
    }
}

/// What a look found, where it is enough that Pub/Sub answers: who may not look may well publish and pull, and hears of the rest then.
pub(super) fn or_may_not_look(found: Result<()>) -> Result<()> {
    match found {
        Err(error) if error.kind() == Kind::PermissionDenied => Ok(()),
        found => found,
    }
}

/// Whatever was made, also by somebody else at the same time.
fn unless_there<T>(made: Result<T>) -> Result<()> {
    match made {
        Err(error) if error.kind() == Kind::Conflict => Ok(()),
        made => made.map(drop),
    }
}

async fn in_time<T>(asked: impl Future<Output = google_cloud_pubsub::Result<T>>) -> Result<T> {
    match timeout(ANSWER, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(judge(&error)),
        Err(_) => Err(not_reached(format!("no answer within {ANSWER:?}"))),
    }
}

fn judge(error: &google_cloud_pubsub::Error) -> Error {
    let refused = |kind| Error::new(kind, "Pub/Sub refuses").with_source(error.to_string());
    match error.status().map(|status| status.code) {
        Some(Code::AlreadyExists) => refused(Kind::Conflict),
        Some(Code::PermissionDenied) => refused(Kind::PermissionDenied),
        _ => not_reached(error),
    }
}

fn not_reached(cause: impl std::fmt::Display) -> Error {
    failed("Pub/Sub can't be used", cause)
}
