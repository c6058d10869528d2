//! A batch event as its hearers see it: OpenAI's event, whose `data` says more. A promise to others, so it only ever gains fields.

use domain::{Error, Result};
use serde::Serialize;
use store::EventToTell;

/// An event ready to be sent.
pub(crate) struct BatchMessage {
    /// The same each time it is sent.
    pub(crate) id: String,
    /// What happened, as `batch.completed`.
    pub(crate) kind: &'static str,
    /// Whose batch it happened to.
    pub(crate) tenant: String,
    pub(crate) submission_id: Option<String>,
    pub(crate) reply_to: Option<String>,
    pub(crate) json: Vec<u8>,
}

#[derive(Serialize)]
struct Event<'a> {
    id: &'a str,
    object: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Unix seconds.
    created_at: i64,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: &'a str,
    tenant: &'a str,
    submission_id: Option<&'a str>,
    /// Of the lines, for `batch.progress`.
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<i64>,
    /// When the event is sent, as everything below.
    status: &'static str,
    request_counts: Counts,
    output_file_id: Option<&'a str>,
    error_file_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Counts {
    total: i64,
    completed: i64,
    failed: i64,
}

impl BatchMessage {
    pub(crate) fn of(told: &EventToTell) -> Result<Self> {
        let EventToTell { event, batch, submission_id, reply_to } = told;
        let message = Event {
            id: event.id.as_str(),
            object: "event",
            kind: event.kind.as_str(),
            created_at: event.created_at_ms.div_euclid(1_000),
            data: Data {
                id: batch.id.as_str(),
                tenant: batch.tenant.as_str(),
                submission_id: submission_id.as_deref(),
                percent: (event.percent > 0).then_some(event.percent),
                status: batch.status.as_str(),
                request_counts: Counts {
                    total: batch.total_lines,
                    completed: batch.counts.completed,
                    failed: batch.counts.recorded() - batch.counts.completed,
                },
                output_file_id: batch.output_file_id.as_ref().map(|id| id.as_str()),
                error_file_id: batch.error_file_id.as_ref().map(|id| id.as_str()),
            },
        };
        Ok(Self {
            id: event.id.to_string(),
            kind: event.kind.as_str(),
            tenant: batch.tenant.to_string(),
            submission_id: submission_id.clone(),
            reply_to: reply_to.clone(),
            json: serde_json::to_vec(&message).map_err(Error::internal)?,
        })
    }
}
