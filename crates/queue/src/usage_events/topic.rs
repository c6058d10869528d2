//! The topic in Pub/Sub. The client sends again what failed in passing, within a budget; what fails for good is the caller's.

use super::{
    Topic, UsageEvent,
    halving::{self, Failure, Sent},
    not_taken,
};
use crate::google::Place;
use domain::Error;
use futures::future::join_all;
use google_cloud_gax::{error::rpc::Code, retry_policy::RetryPolicyExt};
use google_cloud_pubsub::{client::Publisher, error::PublishError, model::Message, retry_policy::RetryableErrors};
use std::time::Duration;
use store::LedgerRow;
use tokio::time::{Instant, timeout};

/// A connection to the topic.
pub(super) struct Client {
    publisher: Publisher,
    budget: Duration,
}

impl Client {
    /// A client that gives each message `budget`.
    pub(super) async fn open(topic: &Topic, budget: Duration) -> Result<Self, Error> {
        let place = Place::of_environment()?;
        if let Place::Emulator(endpoint) = &place {
            tracing::info!(%topic, "usage events go to the Pub/Sub emulator at {endpoint}");
        }
        let builder = place
            .way()?
            .publisher(topic.as_str())
            .set_message_count_threshold(1_000)
            .with_retry_policy(RetryableErrors.with_time_limit(budget));
        Ok(Self { publisher: builder.build().await.map_err(not_taken)?, budget })
    }

    /// Publishes an event for each row until `deadline`; gives those that the topic has, and why it lacks others.
    pub(super) async fn publish<'a>(
        &self,
        rows: &'a [LedgerRow],
        deadline: Instant,
    ) -> (Vec<&'a LedgerRow>, Option<Error>) {
        halving::publish(rows.iter().collect(), deadline, |rows| self.send(rows)).await
    }

    async fn send<'a>(&self, rows: Vec<&'a LedgerRow>) -> Sent<&'a LedgerRow> {
        let sent = join_all(rows.iter().map(|row| self.send_one(row))).await;
        let mut all = Sent { published: Vec::with_capacity(rows.len()), left: Vec::new(), failure: None };
        for (row, outcome) in rows.into_iter().zip(sent) {
            match outcome {
                Ok(()) => all.published.push(row),
                Err(failure) => {
                    all.left.push(row);
                    all.failure.get_or_insert(failure);
                }
            }
        }
        all
    }

    async fn send_one(&self, row: &LedgerRow) -> Result<(), Failure> {
        let message = message(row).map_err(Failure::Other)?;
        // The client's own budget may be overrun by a connection that hangs.
        let sent = timeout(self.budget, self.publisher.publish(message)).await;
        match sent.map_err(|late| Failure::Other(not_taken(late)))? {
            Ok(_id) => Ok(()),
            Err(error) if is_refusal(&error) => Err(Failure::Refused(not_taken(error))),
            Err(error) => Err(Failure::Other(not_taken(error))),
        }
    }
}

/// Whether the topic does not want the message, as one that doesn't fit its schema.
fn is_refusal(error: &PublishError) -> bool {
    let PublishError::Rpc(error) = error else { return false };
    error.status().is_some_and(|status| status.code == Code::InvalidArgument)
}

fn message(row: &LedgerRow) -> Result<Message, Error> {
    let event = serde_json::to_vec(&UsageEvent::from(row)).map_err(Error::internal)?;
    Ok(Message::new().set_data(event).set_attributes([("event_id", row.id.as_str())]))
}
