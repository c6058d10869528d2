//! A record ready to be written.

use super::record::NewRow;
use domain::{RequestId, UsageRecord};

/// A record as JSON. It is made where its request ends: to write many then costs the writer little, and no request waits for it.
#[derive(Debug, Clone)]
pub struct UsageLine {
    request: RequestId,
    json: String,
}

impl UsageLine {
    /// The request's name in headers and logs.
    #[must_use]
    pub fn request(&self) -> &RequestId {
        &self.request
    }

    pub(super) fn array(lines: &[Self]) -> String {
        let mut text = String::with_capacity(lines.iter().map(|line| line.json.len() + 1).sum::<usize>() + 2);
        text.push('[');
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&line.json);
        }
        text.push(']');
        text
    }
}

impl From<&UsageRecord> for UsageLine {
    fn from(record: &UsageRecord) -> Self {
        let json = serde_json::to_string(&NewRow::from(record)).expect("numbers and texts always serialise");
        Self { request: record.request.clone(), json }
    }
}
