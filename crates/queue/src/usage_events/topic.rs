//! The topic in Pub/Sub. The client sends again what failed in passing, within a budget; what fails for good is the caller's.

use super::{Topic, UsageEvent, unreachable};
use domain::{Error, Result};
use futures::future::join_all;
use google_cloud_auth::credentials::anonymous;
use google_cloud_gax::retry_policy::RetryPolicyExt;
use google_cloud_pubsub::{client::Publisher, model::Message, retry_policy::RetryableErrors};
use std::time::Duration;
use store::LedgerRow;
use tokio::time::timeout;

/// Every client of Google's looks here for an emulator; this one leaves it to us.
const EMULATOR: &str = "PUBSUB_EMULATOR_HOST";

/// A connection to the topic.
pub(super) struct Client {
    publisher: Publisher,
    budget: Duration,
}

impl Client {
    /// A client whose rounds take no longer than `budget`.
    pub(super) async fn open(topic: &Topic, budget: Duration) -> Result<Self> {
        let builder = Publisher::builder(topic.as_str())
            .set_message_count_threshold(1_000)
            .with_retry_policy(RetryableErrors.with_time_limit(budget));
        let builder = match emulator() {
            None => builder,
            Some(host) => {
                tracing::info!(%topic, "usage events go to the Pub/Sub emulator at {host} ({EMULATOR})");
                builder.with_endpoint(format!("http://{host}")).with_credentials(anonymous::Builder::new().build())
            }
        };
        Ok(Self { publisher: builder.build().await.map_err(unreachable)?, budget })
    }

    /// Publishes an event for each row; gives those that the topic has, and why it lacks others.
    pub(super) async fn publish<'a>(&self, rows: &'a [LedgerRow]) -> (Vec<&'a LedgerRow>, Option<Error>) {
        let sent = rows.iter().map(|row| async move {
            let message = message(row)?;
            // The client's own budget may be overrun by a connection that hangs.
            let sent = timeout(self.budget.mul_f64(1.5), self.publisher.publish(message)).await;
            sent.map_err(unreachable)?.map_err(unreachable)?;
            Ok(row)
        });
        let (mut published, mut failure) = (Vec::with_capacity(rows.len()), None);
        for outcome in join_all(sent).await {
            match outcome {
                Ok(row) => published.push(row),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        (published, failure)
    }
}

fn message(row: &LedgerRow) -> Result<Message> {
    let event = serde_json::to_vec(&UsageEvent::from(row)).map_err(Error::internal)?;
    Ok(Message::new().set_data(event).set_attributes([("event_id", row.id.as_str())]))
}

fn emulator() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the variable is Google's, not a setting of ours")]
    std::env::var(EMULATOR).ok().filter(|host| !host.is_empty())
}
