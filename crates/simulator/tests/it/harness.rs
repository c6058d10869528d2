//! A served simulator and a client for it.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use simulator::{FAULT_HEADER, Simulator, SimulatorSettings, Stats, serve};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) struct Server {
    pub(crate) sim: Arc<Simulator>,
    pub(crate) url: String,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    client: Client,
}

/// No delays at all.
pub(crate) fn instant() -> SimulatorSettings {
    SimulatorSettings { prefill_tokens_per_sec: 0.0, decode_tokens_per_sec: 0.0, ..SimulatorSettings::default() }
}

/// Answers that never end within a test.
pub(crate) fn endless() -> SimulatorSettings {
    SimulatorSettings { decode_tokens_per_sec: 0.001, ..instant() }
}

pub(crate) fn chat(content: &str, max_tokens: u32) -> Value {
    json!({"model": "tandem-sim", "messages": [{"role": "user", "content": content}], "max_tokens": max_tokens})
}

pub(crate) fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body
}

impl Server {
    pub(crate) async fn start(settings: SimulatorSettings) -> Self {
        let sim = Simulator::new(settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, Arc::clone(&sim), shutdown.clone()));
        let client = Client::builder().timeout(Duration::from_secs(20)).no_proxy().build().unwrap();
        Self { sim, url, shutdown, task, client }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(format!("{}{path}", self.url))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    pub(crate) fn chat(&self, body: &Value) -> RequestBuilder {
        self.post("/v1/chat/completions", body)
    }

    pub(crate) fn faulty(&self, fault: &str, body: &Value) -> RequestBuilder {
        self.chat(body).header(FAULT_HEADER, fault)
    }

    /// Status and JSON body.
    pub(crate) async fn json(&self, request: RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    pub(crate) async fn metrics(&self) -> String {
        self.get("/metrics").send().await.unwrap().text().await.unwrap()
    }

    /// Waits until the server's counts fulfil `claim`.
    pub(crate) async fn until(&self, claim: impl Fn(&Stats) -> bool) -> Stats {
        let reached = async {
            let mut tick = tokio::time::interval(Duration::from_millis(2));
            while !claim(&self.sim.stats()) {
                tick.tick().await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(10), reached).await;
        assert!(in_time.is_ok(), "never reached: {:?}", self.sim.stats());
        self.sim.stats()
    }
}

/// The payloads of a stream's events.
pub(crate) fn events(text: &str) -> Vec<&str> {
    text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
}

/// All chunks of a stream, without `[DONE]`.
pub(crate) fn chunks(text: &str) -> Vec<Value> {
    events(text).into_iter().filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// The text of a chat stream's first choice.
pub(crate) fn spoken(text: &str) -> String {
    chunks(text).iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}
