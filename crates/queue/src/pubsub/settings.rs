//! Where the topic and its subscription are, and how long to wait for them.

use super::names::Names;
use crate::google::Place;
use domain::{Error, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The `[doorbell.pubsub]` section, the same in every process.
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
        Names::read(self)
    }

    /// Where they are.
    ///
    /// # Errors
    /// For what can't be an address.
    pub(super) fn place(&self) -> Result<Place> {
        match &self.endpoint {
            None => Place::of_environment(),
            Some(endpoint) => {
                Place::named(endpoint).map_err(|why| Error::invalid(format!("doorbell.pubsub.endpoint: {why}")))
            }
        }
    }
}
