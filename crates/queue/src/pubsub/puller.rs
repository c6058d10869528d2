//! A subscription, looked at without a stream. Google's client only has streams, and what is given back is soon sent to one that was
//! looked at before and is thought to be open still.

use crate::google::{Way, failed};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::DateTime;
use domain::{Error, Kind, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// Ids of one request, which may have 512 KiB.
const MOST_IDS: usize = 500;

/// So much of a refusal is shown.
const SAID_CHARS: usize = 1_000;

/// Pulls, acknowledges and gives back over the REST API, and is told of each whether it worked.
pub(super) struct Puller {
    http: reqwest::Client,
    way: Way,
    subscription: String,
}

/// A message that nobody else gets for a while.
pub(super) struct Pulled {
    /// For [`Puller::acknowledge`]; good until it lapses.
    pub(super) ack_id: String,
    /// The same each time it comes.
    pub(super) id: String,
    /// Milliseconds since 1970.
    pub(super) published_ms: i64,
    pub(super) data: Vec<u8>,
    pub(super) attributes: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    received_messages: Vec<Received>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    ack_id: String,
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(default)]
    data: String,
    #[serde(default)]
    attributes: HashMap<String, String>,
    message_id: String,
    publish_time: String,
}

impl Puller {
    pub(super) fn new(way: Way, subscription: String) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(ANSWER);
        // An emulator is on this machine or beside it.
        let http = if way.endpoint().starts_with("https://") { http } else { http.no_proxy() };
        Ok(Self { http: http.build().map_err(Error::internal)?, way, subscription })
    }

    /// Up to `most` messages that are there now.
    pub(super) async fn pull(&self, most: usize) -> Result<Vec<Pulled>> {
        let answer: Answer = self.ask("pull", &json!({"maxMessages": most, "returnImmediately": true})).await?;
        answer.received_messages.into_iter().map(Pulled::read).collect()
    }

    /// They never come again.
    pub(super) async fn acknowledge(&self, ids: &[String]) -> Result<()> {
        for ids in ids.chunks(MOST_IDS) {
            self.ask::<Value>("acknowledge", &json!({"ackIds": ids})).await?;
        }
        Ok(())
    }

    /// Nobody else gets them for so long; at once, if that is nothing.
    pub(super) async fn hold(&self, ids: &[String], time: Duration) -> Result<()> {
        for ids in ids.chunks(MOST_IDS) {
            let body = json!({"ackIds": ids, "ackDeadlineSeconds": time.as_secs()});
            self.ask::<Value>("modifyAckDeadline", &body).await?;
        }
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(&self, verb: &str, body: &Value) -> Result<T> {
        let url = format!("{}/v1/{}:{verb}", self.way.endpoint(), self.subscription);
        let request = self.http.post(url).headers(self.way.headers().await?).json(body);
        let answer = request.send().await.map_err(unreadable)?;
        let (status, text) = (answer.status(), answer.text().await.map_err(unreadable)?);
        if !status.is_success() {
            let kind = if status.is_server_error() { Kind::Unavailable } else { Kind::InvalidRequest };
            let said = text.chars().take(SAID_CHARS).collect::<String>();
            let what = format!("Pub/Sub refuses {verb} of {}: {status}", self.subscription);
            return Err(Error::new(kind, what).with_source(said));
        }
        serde_json::from_str(&text).map_err(unreadable)
    }
}

impl Pulled {
    fn read(received: Received) -> Result<Self> {
        let Received { ack_id, message } = received;
        let published = DateTime::parse_from_rfc3339(&message.publish_time).map_err(unreadable)?;
        Ok(Self {
            ack_id,
            id: message.message_id,
            published_ms: published.timestamp_millis(),
            data: STANDARD.decode(message.data).map_err(unreadable)?,
            attributes: message.attributes,
        })
    }
}

fn unreadable(cause: impl std::fmt::Display) -> Error {
    failed("dead letters can't be read", cause)
}
