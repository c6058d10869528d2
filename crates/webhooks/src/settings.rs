//! Where webhooks may go, how they are kept, and how often they are tried.

use chassis::settings::Secret;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, time::Duration};

/// The `[webhooks]` section, the same in gateway and worker: the one makes webhooks, the other sends to them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksSettings {
    /// Networks (`10.0.0.0/8`) and hosts (`hooks.internal`) to which webhooks may go although they are not public.
    pub allow: Vec<Allowed>,
    /// Whether webhooks may go over `http`: for development.
    pub allow_http: bool,
    /// 64 hex digits with which signing secrets are encrypted in the database. Empty = they are stored as they are.
    pub secret_key: Secret,
    /// Keys that were used before: what they encrypted can be read.
    pub old_secret_keys: Vec<Secret>,
    /// How many webhooks a tenant may have.
    pub max_per_tenant: i64,
    /// How long an attempt may take, in milliseconds.
    pub timeout_ms: u64,
    /// How many attempts a process makes at once.
    pub concurrency: usize,
    /// How many attempts are made at once at one webhook, by all processes together.
    pub per_webhook: i64,
    /// The pause between two looks for what is due, in milliseconds.
    pub poll_ms: u64,
    /// After how many seconds a delivery is tried again, give or take a fifth; after the last of them it is given up.
    pub retries_secs: Vec<u64>,
    /// A webhook at which nothing has arrived for so many hours is disabled when a delivery is given up.
    pub disable_after_hours: u64,
    /// For how many days deliveries and their attempts are kept.
    pub keep_days: u64,
}

impl Default for WebhooksSettings {
    fn default() -> Self {
        const HOUR: u64 = 3_600;
        Self {
            allow: Vec::new(),
            allow_http: false,
            secret_key: Secret::default(),
            old_secret_keys: Vec::new(),
            max_per_tenant: 20,
            timeout_ms: 15_000,
            concurrency: 64,
            per_webhook: 4,
            poll_ms: 1_000,
            retries_secs: vec![5, 300, 1_800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR],
            disable_after_hours: 5 * 24,
            keep_days: 30,
        }
    }
}

impl WebhooksSettings {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.max(1))
    }

    /// How long a claim lasts: longer than an attempt and its record. After a crash others try so much later.
    pub(crate) fn hold_ms(&self) -> i64 {
        let margin = Duration::from_secs(5);
        i64::try_from((self.timeout() * 2 + margin).as_millis()).unwrap_or(i64::MAX / 2)
    }

    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms.max(10))
    }

    pub(crate) fn keep_ms(&self) -> i64 {
        to_ms(self.keep_days, 86_400_000)
    }

    pub(crate) fn disable_after_ms(&self) -> i64 {
        to_ms(self.disable_after_hours, 3_600_000)
    }
}

fn to_ms(count: u64, unit_ms: i64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(unit_ms).min(i64::MAX / 2)
}

/// Somewhere webhooks may go although it is not public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Allowed {
    /// Every address of a network.
    Network(IpNet),
    /// A host, whatever its addresses are.
    Host(String),
}

impl TryFrom<String> for Allowed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        match url::Host::parse(&text) {
            Ok(url::Host::Domain(name)) if !text.contains('/') => Ok(Self::Host(name)),
            _ => Err("write a network as `10.0.0.0/8`, an address, or the name of a host".to_owned()),
        }
    }
}

impl From<Allowed> for String {
    fn from(allowed: Allowed) -> Self {
        match allowed {
            Allowed::Network(network) => network.to_string(),
            Allowed::Host(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_addresses_and_hosts_are_told_apart() {
        let read = |text: &str| Allowed::try_from(text.to_owned());

        assert_eq!(read("10.0.0.0/8"), Ok(Allowed::Network("10.0.0.0/8".parse().unwrap())));
        assert_eq!(read("::1"), Ok(Allowed::Network("::1/128".parse().unwrap())));
        assert_eq!(read("Hooks.Internal"), Ok(Allowed::Host("hooks.internal".to_owned())));
        for wrong in ["", "10.0.0.0/33", "https://hooks.internal", "a b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_delivery_is_tried_for_about_three_days() {
        let settings = WebhooksSettings::default();

        assert_eq!(settings.retries_secs.iter().sum::<u64>() / 3_600, 75);
        assert!(settings.hold_ms() > 15_000 + 1_000 + 10_000);
    }
}
