//! A record ready to be written.

use super::record::NewRow;
use domain::{RequestId, UsageRecord};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// A record as JSON. It is made where its request ends: to write many then costs the writer little, and no request waits for it.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct UsageLine {
    #[serde(skip)]
    request: RequestId,
    json: Box<RawValue>,
}

impl UsageLine {
    /// How long it is.
    pub(super) fn bytes(&self) -> usize {
        self.json.get().len()
    }

    /// The request's name in headers and logs.
    #[must_use]
    pub fn request(&self) -> &RequestId {
        &self.request
    }
}

impl From<&UsageRecord> for UsageLine {
    fn from(record: &UsageRecord) -> Self {
        let json = to_raw_value(&NewRow::from(record)).expect("numbers and texts always serialise");
        Self { request: record.request.clone(), json }
    }
}
