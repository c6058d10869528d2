//! Which doorbell a process has: the one place that decides.

use crate::{
    Doorbell, Embedded, PubSub, PubSubSettings, RabbitMq, RabbitMqSettings, instruments::Instruments,
    measured::Measured,
};
use domain::Result;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::Store;

/// The `[doorbell]` section, the same in gateway and worker. Where they differ, as while it is changed, workers find by polling what
/// they don't hear.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DoorbellSettings {
    /// What rings.
    pub kind: DoorbellKind,
    /// For the kind of this name.
    pub rabbitmq: RabbitMqSettings,
    /// For the kind of this name.
    pub pubsub: PubSubSettings,
}

/// The kinds of doorbells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DoorbellKind {
    /// A table of the database.
    #[default]
    Embedded,
    /// A quorum queue of RabbitMQ.
    RabbitMq,
    /// A topic of Pub/Sub and a subscription to it.
    PubSub,
}

impl DoorbellKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::RabbitMq => "rabbitmq",
            Self::PubSub => "pubsub",
        }
    }
}

/// The doorbell that the settings ask for. It connects in the background, so a broker that is away is no error. Needs a runtime.
///
/// # Errors
/// For settings that can't be used.
pub fn open(settings: &DoorbellSettings, store: &Store) -> Result<Arc<dyn Doorbell>> {
    let instruments = Instruments::new(settings.kind.as_str());
    let doorbell: Arc<dyn Doorbell> = match settings.kind {
        DoorbellKind::Embedded => Arc::new(Embedded::new(store.clone())),
        DoorbellKind::RabbitMq => Arc::new(RabbitMq::measured(&settings.rabbitmq, instruments.clone())?),
        DoorbellKind::PubSub => Arc::new(PubSub::measured(&settings.pubsub, instruments.clone())?),
    };
    Ok(Arc::new(Measured::new(doorbell, instruments)))
}
