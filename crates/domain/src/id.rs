//! Identifiers: a prefix that says what it names and a time-ordered random part (UUID version 7, hex). Of those that are read once
//! and handed to many requests, clones share their text; those that each request makes anew hold theirs.

use crate::ShortText;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};
use uuid::{Uuid, fmt::Simple};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        id!($(#[$doc])* $name, $prefix, Arc<str>);
    };
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $text:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($text);

        impl $name {
            /// A new identifier, later ones sorting after earlier ones.
            #[must_use]
            pub fn generate() -> Self {
                const PREFIX: usize = $prefix.len();
                let mut text = [0; PREFIX + Simple::LENGTH];
                text[..PREFIX].copy_from_slice($prefix.as_bytes());
                Uuid::now_v7().simple().encode_lower(&mut text[PREFIX..]);
                Self(str::from_utf8(&text).expect("hex digits are ASCII").into())
            }

            /// An identifier as somebody gave it; whether it names anything is for the store to say.
            pub fn from_string(text: impl AsRef<str>) -> Self {
                Self(text.as_ref().into())
            }

            /// The text of it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A customer of the platform; owns keys, files and batches.
    TenantId, "tenant_"
);
id!(
    /// An API key (its public name, never its secret).
    KeyId, "key_"
);
id!(
    /// An uploaded or produced file.
    FileId, "file-"
);
id!(
    /// A file that comes in parts.
    UploadId, "upload_"
);
id!(
    /// A part of an upload.
    PartId, "part_"
);
id!(
    /// A batch.
    BatchId, "batch_"
);
id!(
    /// A shard of a batch.
    ShardId, "shard_"
);
id!(
    /// Something that happened to a batch.
    EventId, "evt_"
);
id!(
    /// One request, as in `x-request-id`.
    RequestId, "req_", ShortText
);
id!(
    /// One worker process. Made anew at each start: a reused host name must not make a dead worker look alive.
    WorkerId, "worker_"
);

id!(
    /// A limit.
    LimitId, "limit_"
);
id!(
    /// A record in the ledger.
    UsageId, "use_", ShortText
);
id!(
    /// A record of a change.
    AuditId, "audit_"
);
id!(
    /// Where a tenant wants to be told of events.
    WebhookId, "wh_"
);
id!(
    /// An event on its way to one webhook.
    DeliveryId, "dlv_"
);
id!(
    /// One try of a delivery.
    AttemptId, "att_"
);
id!(
    /// One gateway process. Made anew at each start, like a worker's.
    ReplicaId, "replica_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_id_carries_its_prefix() {
        assert!(FileId::generate().as_str().starts_with("file-"));
    }
}
