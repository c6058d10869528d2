//! The Pub/Sub emulator of the Google Cloud CLI, spoken to over its REST API.

use crate::eventually;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

/// The topic of usage events.
pub const TOPIC: &str = "projects/tandem-test/topics/usage-events";
const PROJECT: &str = "projects/tandem-test";
const PICKY: &str = "projects/tandem-test/topics/picky";
const SUBSCRIPTION: &str = "projects/tandem-test/subscriptions/usage-events";
const START: Duration = Duration::from_secs(60);

/// A running emulator with the topic and a subscription to it, which ends with its guard.
pub struct Emulator {
    _server: servers::Emulator,
    /// Where it is, as `PUBSUB_EMULATOR_HOST` has it.
    pub host: SocketAddr,
    http: reqwest::Client,
}

impl Emulator {
    /// Starts it at a free port. Where it is not installed it says so, and then there is nothing to test with.
    pub async fn start_anywhere() -> Option<Self> {
        let server = servers::Emulator::start_anywhere()?;
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().expect("an HTTP client");
        let emulator = Self { host: server.host(), _server: server, http };
        let answers = async || emulator.put(TOPIC, &json!({})).await.is_some();
        assert!(eventually(START, answers).await, "the emulator does not answer at {}", emulator.host);
        let subscription = json!({"topic": TOPIC, "ackDeadlineSeconds": 600});
        emulator.put(SUBSCRIPTION, &subscription).await.expect("a subscription");
        Some(emulator)
    }

    /// Makes a topic whose schema asks for what no event has, and gives its name.
    pub async fn make_picky_topic(&self) -> &'static str {
        let definition = json!({"type": "record", "name": "Other", "fields": [{"name": "other", "type": "string"}]});
        let schema = json!({"type": "AVRO", "definition": definition.to_string()});
        let url = format!("http://{}/v1/{PROJECT}/schemas?schemaId=other", self.host);
        let made = self.http.post(url).json(&schema).send().await.expect("an answer");
        made.error_for_status().expect("a schema");
        let settings = json!({"schema": format!("{PROJECT}/schemas/other"), "encoding": "JSON"});
        self.put(PICKY, &json!({"schemaSettings": settings})).await.expect("a topic");
        PICKY
    }

    /// Events that nobody took yet, and takes them.
    pub async fn take(&self) -> Vec<Value> {
        let url = |verb| format!("http://{}/v1/{SUBSCRIPTION}:{verb}", self.host);
        let pull = self.http.post(url("pull")).json(&json!({"maxMessages": 1000, "returnImmediately": true}));
        let answer: Value = pull.send().await.expect("an answer").json().await.expect("JSON");
        let messages = answer["receivedMessages"].as_array().cloned().unwrap_or_default();
        if messages.is_empty() {
            return Vec::new();
        }
        let taken: Vec<_> = messages.iter().map(|message| &message["ackId"]).collect();
        let ack = self.http.post(url("acknowledge")).json(&json!({"ackIds": taken})).send().await;
        ack.expect("an answer").error_for_status().expect("taken");
        messages.iter().map(|message| event(&message["message"])).collect()
    }

    async fn put(&self, name: &str, body: &Value) -> Option<()> {
        let answer = self.http.put(format!("http://{}/v1/{name}", self.host)).json(body).send().await.ok()?;
        answer.error_for_status().ok().map(drop)
    }
}

/// The data of a message, which names itself as its attribute does.
fn event(message: &Value) -> Value {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let data = STANDARD.decode(message["data"].as_str().expect("data")).expect("base64");
    let event: Value = serde_json::from_slice(&data).expect("JSON");
    assert_eq!(event["event_id"], message["attributes"]["event_id"], "{message}");
    event
}
