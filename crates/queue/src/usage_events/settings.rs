//! Where events go.

use crate::google::is_full_name;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// The `[events]` section, the same in every process that writes the ledger or changes batches.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsSettings {
    /// The Pub/Sub topic of usage events, `projects/P/topics/T`. None = nothing is published, and nothing collected for it.
    pub usage_topic: Option<Topic>,
    /// The exchange of RabbitMQ that batch events go to, on the broker of `[doorbell.rabbitmq]`. None = nothing is published, and
    /// nothing collected for it.
    pub batch_exchange: Option<String>,
    /// Instead of it the Pub/Sub topic that batch events go to, `projects/P/topics/T`, reached as `[doorbell.pubsub]` says.
    pub batch_topic: Option<Topic>,
    /// With `batch_topic`, the topics that `reply_to` of a job may name, by their full name or their id.
    pub reply_topics: Vec<Topic>,
    /// The pause between two looks at an empty outbox, in milliseconds; at least 10.
    pub poll_ms: u64,
    /// How long a process has records to itself, in milliseconds; after a crash others publish them so much later. A round of
    /// publishing takes less. At least 1,000.
    pub hold_ms: u64,
}

impl Default for EventsSettings {
    fn default() -> Self {
        Self {
            usage_topic: None,
            batch_exchange: None,
            batch_topic: None,
            reply_topics: Vec::new(),
            poll_ms: 1_000,
            hold_ms: 60_000,
        }
    }
}

impl EventsSettings {
    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms.max(10))
    }

    pub(crate) fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms.max(1_000))
    }

    /// Whether batch events are published at all.
    #[must_use]
    pub fn publish_batches(&self) -> bool {
        self.batch_exchange.is_some() || self.batch_topic.is_some()
    }

    /// Whether usage is published at all.
    #[must_use]
    pub fn publish_usage(&self) -> bool {
        self.usage_topic.is_some()
    }
}

/// The full name of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Topic(String);

impl Topic {
    /// `projects/P/topics/T`
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `T` of that.
    pub(crate) fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl TryFrom<String> for Topic {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_full_name(&text, "topics") {
            return Ok(Self(text));
        }
        Err("a topic is written as `projects/PROJECT/topics/TOPIC`".to_owned())
    }
}

impl From<Topic> for String {
    fn from(topic: Topic) -> Self {
        topic.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_its_full_name() {
        assert!(Topic::try_from("projects/my-project/topics/usage".to_owned()).is_ok());
        assert!(Topic::try_from("projects/example.com:my-project/topics/usage".to_owned()).is_ok());
        for text in [
            "",
            "usage",
            "projects//topics/usage",
            "projects/p-1/topics/",
            "projects/p-1/topics/a b",
            "/projects/p-1/topics/usage",
        ] {
            assert!(Topic::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
