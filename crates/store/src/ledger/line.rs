//! A record as JSON, for statements of many.

use super::record::NewRow;
use domain::UsageRecord;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// See the head of this file.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct UsageLine(Box<RawValue>);

impl UsageLine {
    /// How long it is.
    pub(super) fn bytes(&self) -> usize {
        self.0.get().len()
    }
}

impl From<&UsageRecord> for UsageLine {
    fn from(record: &UsageRecord) -> Self {
        Self(to_raw_value(&NewRow::from(record)).expect("numbers and texts always serialise"))
    }
}
