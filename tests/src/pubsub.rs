//! The Pub/Sub emulator of the Google Cloud CLI, spoken to over its REST API.

use crate::{eventually, free_address};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The topic of usage events.
pub const TOPIC: &str = "projects/tandem-test/topics/usage-events";
const PROJECT: &str = "projects/tandem-test";
const PICKY: &str = "projects/tandem-test/topics/picky";
const SUBSCRIPTION: &str = "projects/tandem-test/subscriptions/usage-events";
const START: Duration = Duration::from_secs(60);

/// A running emulator, which ends with its guard. It holds everything in memory.
pub struct Emulator {
    child: Child,
    /// Where it is, as `PUBSUB_EMULATOR_HOST` has it.
    pub host: SocketAddr,
    http: reqwest::Client,
}

impl Emulator {
    /// Starts it at a free port, with the topic and a subscription to it. Where it is not installed it says so, and then there is
    /// nothing to test with.
    pub async fn start_anywhere() -> Option<Self> {
        let Some(program) = emulator_of_path() else {
            eprintln!("SKIPPED: the Pub/Sub emulator is not installed (`gcloud components install pubsub-emulator`)");
            return None;
        };
        Some(Self::start(&program, free_address().await).await)
    }

    async fn start(program: &Path, host: SocketAddr) -> Self {
        let child = Command::new(program)
            .args([format!("--host={}", host.ip()), format!("--port={}", host.port())])
            .env("CLOUD_PUBSUB_EMULATOR_OPTS", "-Xmx128m")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the emulator starts");
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().expect("an HTTP client");
        let emulator = Self { child, host, http };
        let answers = async || emulator.put(TOPIC, &json!({})).await.is_some();
        assert!(eventually(START, answers).await, "the emulator does not answer at {host}");
        let subscription = json!({"topic": TOPIC, "ackDeadlineSeconds": 600});
        emulator.put(SUBSCRIPTION, &subscription).await.expect("a subscription");
        emulator
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

impl Drop for Emulator {
    fn drop(&mut self) {
        // Already gone is fine: the guard only makes sure.
        let _ = self.child.kill();
        let _ = self.child.wait();
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

/// The emulator lies in the folder of the CLI, which is on the path.
fn emulator_of_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let gcloud = std::env::split_paths(&path).map(|folder| folder.join("gcloud")).find(|file| file.exists())?;
    let sdk = gcloud.canonicalize().ok()?.parent()?.parent()?.to_owned();
    Some(sdk.join("platform/pubsub-emulator/bin/cloud-pubsub-emulator")).filter(|file| file.exists())
}
