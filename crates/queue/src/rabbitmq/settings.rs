//! Where RabbitMQ is, and how long to wait for it.

use chassis::settings::Secret;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// The `[doorbell.rabbitmq]` section, the same in every process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RabbitMqSettings {
    /// The hosts of the cluster, `amqp://user:password@host:5672/vhost` or `amqps://…`; each try begins anywhere and goes through
    /// all of them. Without a path the virtual host is `/`. There is no default.
    pub urls: Vec<Secret>,
    /// The queue; what can't be read goes to `<queue>.dead`. At most 200 bytes.
    pub queue: String,
    /// Certificates in PEM that `amqps` hosts may be signed by, besides those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// How long a ring may take, in milliseconds, until the broker has confirmed it; at least 1.
    pub publish_timeout_ms: u64,
    /// How long a connection to one host may take, in milliseconds; at least 1.
    pub connect_timeout_ms: u64,
    /// A connection that was silent for twice as long is given up, in seconds; at least 1.
    pub heartbeat_secs: u16,
}

impl Default for RabbitMqSettings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            queue: "tandem.doorbell".to_owned(),
            ca_file: None,
            publish_timeout_ms: 2_000,
            connect_timeout_ms: 5_000,
            heartbeat_secs: 10,
        }
    }
}

impl RabbitMqSettings {
    pub(super) fn publish_timeout(&self) -> Duration {
        Duration::from_millis(self.publish_timeout_ms.max(1))
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.max(1))
    }
}
