//! The Pub/Sub emulator of the Google Cloud CLI, spoken to over its REST API.

use crate::eventually;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

/// The topic of usage events.
pub const TOPIC: &str = "projects/tandem-test/topics/usage-events";
const PROJECT: &str = "projects/tandem-test";
const PICKY: &str = "projects/tandem-test/topics/picky";
const SUBSCRIPTION: &str = "projects/tandem-test/subscriptions/usage-events";
/// A busy machine takes its time; only a broken emulator takes all of this.
const START: Duration = Duration::from_secs(180);

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

    /// Usage events that nobody took yet, and takes them.
    pub async fn take(&self) -> Vec<Value> {
        self.pull(SUBSCRIPTION, 1_000).await.iter().map(event).collect()
    }

    /// Makes a topic with a subscription to it, both of this name, and gives their full names.
    pub async fn make_topic(&self, name: &str) -> (String, String) {
        let (topic, subscription) = (format!("{PROJECT}/topics/{name}"), format!("{PROJECT}/subscriptions/{name}"));
        self.put(&topic, &json!({})).await.expect("a topic");
        self.put(&subscription, &json!({"topic": topic, "ackDeadlineSeconds": 10})).await.expect("a subscription");
        (topic, subscription)
    }

    /// Publishes to a topic.
    pub async fn publish(&self, topic: &str, message: &[u8]) {
        let messages = json!({"messages": [{"data": STANDARD.encode(message)}]});
        let url = format!("http://{}/v1/{topic}:publish", self.host);
        let answer = self.http.post(url).json(&messages).send().await.expect("an answer");
        answer.error_for_status().expect("published");
    }

    /// Up to `most` messages of a subscription, and takes them.
    pub async fn pull(&self, subscription: &str, most: usize) -> Vec<Message> {
        let url = |verb| format!("http://{}/v1/{subscription}:{verb}", self.host);
        let pull = self.http.post(url("pull")).json(&json!({"maxMessages": most, "returnImmediately": true}));
        let answer: Value = pull.send().await.expect("an answer").json().await.expect("JSON");
        let messages = answer["receivedMessages"].as_array().cloned().unwrap_or_default();
        if messages.is_empty() {
            return Vec::new();
        }
        let taken: Vec<_> = messages.iter().map(|message| &message["ackId"]).collect();
        let ack = self.http.post(url("acknowledge")).json(&json!({"ackIds": taken})).send().await;
        ack.expect("an answer").error_for_status().expect("taken");
        messages.iter().map(|message| Message::of(&message["message"])).collect()
    }

    async fn put(&self, name: &str, body: &Value) -> Option<()> {
        let answer = self.http.put(format!("http://{}/v1/{name}", self.host)).json(body).send().await.ok()?;
        answer.error_for_status().ok().map(drop)
    }
}

/// What came over a subscription.
#[derive(Debug)]
pub struct Message {
    /// As it was published.
    pub data: Vec<u8>,
    /// An object of texts, or null.
    pub attributes: Value,
}

impl Message {
    fn of(message: &Value) -> Self {
        let data = STANDARD.decode(message["data"].as_str().expect("data")).expect("base64");
        Self { data, attributes: message["attributes"].clone() }
    }
}

/// A usage event, which names itself as its attribute does.
fn event(message: &Message) -> Value {
    let event: Value = serde_json::from_slice(&message.data).expect("JSON");
    assert_eq!(event["event_id"], message.attributes["event_id"], "{message:?}");
    event
}
