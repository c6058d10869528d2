//! Where the topic and its subscription are, and how long to wait for them.

use super::{Site, names::Names, resources::Made};
use crate::google::Place;
use domain::{Error, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The `[doorbell.pubsub]` section, the same in every process. Jobs and batch events reach Pub/Sub as it says too.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PubSubSettings {
    /// The project of those resources that are named by their ids only.
    pub project: Option<String>,
    /// The topic that pointers go to: an id, or `projects/P/topics/T`.
    pub topic: String,
    /// The subscription that workers share: an id, or `projects/P/subscriptions/S`. It delivers by pull.
    pub subscription: String,
    /// The topic for what is no pointer, named in the same ways. None = that is dropped, and the log says so.
    pub dead_letter_topic: Option<String>,
    /// The subscription that keeps what is there, for `tandem dlq`. None = the one that is named as the topic is.
    pub dead_letter_subscription: Option<String>,
    /// Where Pub/Sub is: `host:port` of an emulator, or `https://…` of a region. None = the emulator of `PUBSUB_EMULATOR_HOST`, else
    /// Google's own address.
    pub endpoint: Option<String>,
    /// How long a ring may take, in milliseconds, until Pub/Sub has confirmed it; at least 1.
    pub publish_timeout_ms: u64,
    /// Whether topics and subscriptions are made where they don't exist. For emulators and development.
    pub create: bool,
}

impl Default for PubSubSettings {
    fn default() -> Self {
        Self {
            project: None,
            topic: "tandem-doorbell".to_owned(),
            subscription: "tandem-doorbell".to_owned(),
            dead_letter_topic: None,
            dead_letter_subscription: None,
            endpoint: None,
            publish_timeout_ms: 2_000,
            create: false,
        }
    }
}

impl PubSubSettings {
    pub(super) fn publish_timeout(&self) -> Duration {
        Duration::from_millis(self.publish_timeout_ms.max(1))
    }

    /// The resources.
    ///
    /// # Errors
    /// For what can't be a name.
    pub(super) fn names(&self) -> Result<Names> {
        Names::of_doorbell(self)
    }

    /// Where Pub/Sub is, and what is to be made there, if anything is.
    ///
    /// # Errors
    /// For what can't be an address.
    pub(super) fn site(&self, made: impl FnOnce() -> Vec<Made>) -> Result<Site> {
        let made = if self.create { made() } else { Vec::new() };
        Ok(Site { place: self.place()?, made })
    }

    fn place(&self) -> Result<Place> {
        match &self.endpoint {
            None => Place::of_environment(),
            Some(endpoint) => {
                Place::named(endpoint).map_err(|why| Error::invalid(format!("doorbell.pubsub.endpoint: {why}")))
            }
        }
    }
}

/// The `[submissions.pubsub]` section: where jobs come from. Each is an id in `doorbell.pubsub.project`, or a full name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubmissionsPubSubSettings {
    /// The topic that senders publish to; dead letters are sent there again.
    pub topic: String,
    /// The subscription to it that workers share. It delivers by pull.
    pub subscription: String,
    /// The topic for what can't become a batch.
    pub dead_letter_topic: String,
    /// The subscription that keeps what is there, for `tandem dlq`. None = the one that is named as the topic is.
    pub dead_letter_subscription: Option<String>,
}

impl Default for SubmissionsPubSubSettings {
    fn default() -> Self {
        Self {
            topic: "tandem-submissions".to_owned(),
            subscription: "tandem-submissions".to_owned(),
            dead_letter_topic: "tandem-submissions-dead".to_owned(),
            dead_letter_subscription: None,
        }
    }
}

impl SubmissionsPubSubSettings {
    /// The resources, in the project that `doorbell` names where nothing else is said.
    ///
    /// # Errors
    /// For what can't be a name.
    pub(super) fn names(&self, doorbell: &PubSubSettings) -> Result<Names> {
        Names::of_submissions(self, doorbell.project.as_deref())
    }
}
