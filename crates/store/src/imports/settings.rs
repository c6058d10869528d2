//! The list of buckets.

use domain::TenantId;
use serde::{Deserialize, Serialize};

/// From where files may be imported, with every object that is there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportsSettings {
    /// The buckets; none = nothing may be imported.
    pub buckets: Vec<ImportBucket>,
}

/// A bucket of which objects may be imported.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImportBucket {
    /// By every tenant.
    Everybody(String),
    /// By these tenants.
    Some {
        /// Its name.
        name: String,
        /// Ids of tenants.
        tenants: Vec<String>,
    },
}

impl ImportsSettings {
    /// Whether the tenant may import objects of this bucket.
    #[must_use]
    pub fn allows(&self, bucket: &str, tenant: &TenantId) -> bool {
        self.buckets.iter().any(|listed| match listed {
            ImportBucket::Everybody(name) => name == bucket,
            ImportBucket::Some { name, tenants } => name == bucket && tenants.iter().any(|id| id == tenant.as_str()),
        })
    }
}
