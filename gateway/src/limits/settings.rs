//! How limits are kept between replicas.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The `[gateway.limits]` section.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSettings {
    /// How often a replica that has work reports to the database, in milliseconds. An unused lease is returned within two of these.
    pub exchange_ms: u64,
    /// How long a lease lasts without the database, in milliseconds: for so long a replica goes on alone, with what it holds.
    pub lease_ms: u64,
    /// How long a request waits for the database when its replica holds too little, in milliseconds.
    pub wait_ms: u64,
    /// What happens to requests when the leases have lapsed and the database can't be reached.
    pub when_store_is_down: WhenDown,
}

/// What happens to requests whose limits can't be checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenDown {
    /// They are refused with 503.
    #[default]
    Refuse,
    /// They are admitted; what they use is booked when the database is back.
    Admit,
}

impl Default for LimitsSettings {
    fn default() -> Self {
        Self { exchange_ms: 250, lease_ms: 15_000, wait_ms: 2_000, when_store_is_down: WhenDown::Refuse }
    }
}

impl LimitsSettings {
    pub(crate) fn exchange(&self) -> Duration {
        Duration::from_millis(self.exchange_ms.max(1))
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub(crate) fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }
}
