//! Events as webhooks carry them: OpenAI's thin form, which names what changed and lets the receiver read it.

use serde::{Deserialize, Serialize};

/// The body of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEvent {
    /// `evt_…`
    pub id: String,
    /// Always `event`.
    pub object: String,
    /// What happened, as `batch.completed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Unix seconds.
    pub created_at: i64,
    /// To what.
    pub data: WebhookData,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookData {
    /// Its id.
    pub id: String,
    /// How much of it is done, for `batch.progress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i64>,
}

impl WebhookEvent {
    /// That something happened to the thing of this id.
    #[must_use]
    pub fn new(id: &str, kind: &str, created_at: i64, about: &str) -> Self {
        let data = WebhookData { id: about.to_owned(), percent: None };
        Self { id: id.to_owned(), object: "event".to_owned(), kind: kind.to_owned(), created_at, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_openais_shape() {
        let mut event = WebhookEvent::new("evt_1", "batch.completed", 1_700_000_000, "batch_1");

        let json = r#"{"id":"evt_1","object":"event","type":"batch.completed","created_at":1700000000,"data":{"id":"batch_1"}}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
        event.data.percent = Some(25);
        assert!(serde_json::to_string(&event).unwrap().ends_with(r#""data":{"id":"batch_1","percent":25}}"#));
    }
}
