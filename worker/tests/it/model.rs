//! A model whose behaviour is written in the request: the first word of the first message.

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Error, Kind, RequestContext, Result, Usage};
use http::{HeaderMap, StatusCode};
use orchestrator::{
    CREDENTIALS_REFUSED, DeploymentInfo, ModelBackend, ModelBody, ModelInfo, ModelRequest, ModelResponse, Outcome,
    Sending, Served,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
    time::Duration,
};
use tokio::sync::watch;

/// The only model there is.
pub(crate) const MODEL: &str = "m";

/// Answers `ok`, refuses `bad`, is busy three times for `busy`, refuses our key four times for `locked`, fails for
/// `broken`, panics for `panic`, keeps `hang` waiting until told otherwise, and `lethal` for ever. `shaky`
/// fails once and hangs then. `queued` hangs before a model server has heard of it.
pub(crate) struct Model {
    calls: Mutex<HashMap<String, u32>>,
    traces: Mutex<HashSet<Option<String>>>,
    holds: watch::Sender<bool>,
    answered: watch::Sender<HashSet<String>>,
    flight: Mutex<Flight>,
}

/// The messages that are being answered.
#[derive(Default)]
struct Flight {
    contents: HashSet<String>,
    most: usize,
    /// Second tries among them, and the most that ever were.
    again: HashSet<String>,
    most_again: usize,
}

/// One of them, until it is dropped.
struct Passenger<'a>(&'a Model, String);

impl Drop for Passenger<'_> {
    fn drop(&mut self) {
        let mut flight = self.0.flight.lock().unwrap();
        flight.contents.remove(&self.1);
        flight.again.remove(&self.1);
    }
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            calls: Mutex::default(),
            traces: Mutex::default(),
            holds: watch::Sender::new(true),
            answered: watch::Sender::default(),
            flight: Mutex::default(),
        }
    }

    /// Answers everything that hangs, now and later.
    pub(crate) fn let_go(&self) {
        self.holds.send_replace(false);
    }

    /// Answers these of the messages that hang, now and later.
    pub(crate) fn answer(&self, contents: &[String]) {
        self.answered.send_modify(|answered| answered.extend(contents.iter().cloned()));
    }

    /// How often a message was asked.
    pub(crate) fn calls(&self, content: &str) -> u32 {
        self.calls.lock().unwrap().get(content).copied().unwrap_or(0)
    }

    /// How many calls there were.
    pub(crate) fn all_calls(&self) -> u32 {
        self.calls.lock().unwrap().values().sum()
    }

    /// The messages that are being answered.
    pub(crate) fn in_flight(&self) -> Vec<String> {
        self.flight.lock().unwrap().contents.iter().cloned().collect()
    }

    /// The most that ever were at once.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.flight.lock().unwrap().most
    }

    /// The most messages that were ever answered at once after they had been asked before.
    pub(crate) fn most_again(&self) -> usize {
        self.flight.lock().unwrap().most_again
    }

    fn board(&self, content: &str, count: u32) -> Passenger<'_> {
        let mut flight = self.flight.lock().unwrap();
        if count > 1 {
            flight.again.insert(content.to_owned());
            flight.most_again = flight.most_again.max(flight.again.len());
        }
        flight.contents.insert(content.to_owned());
        flight.most = flight.most.max(flight.contents.len());
        Passenger(self, content.to_owned())
    }

    /// The traces that calls belonged to.
    pub(crate) fn traces(&self) -> Vec<Option<String>> {
        self.traces.lock().unwrap().iter().cloned().collect()
    }

    fn count(&self, content: &str) -> u32 {
        let mut calls = self.calls.lock().unwrap();
        let count = calls.entry(content.to_owned()).or_default();
        *count += 1;
        *count
    }
}

#[async_trait]
impl ModelBackend for Model {
    async fn call(&self, context: &RequestContext, request: ModelRequest) -> Result<ModelResponse> {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let content = body["messages"][0]["content"].as_str().unwrap().to_owned();
        let count = self.count(&content);
        let word = content.split(' ').next().unwrap();
        if word != "queued" {
            request.sending.iter().for_each(Sending::tell);
        }
        let _passenger = self.board(&content, count);
        self.traces.lock().unwrap().insert(context.traceparent());
        match word {
            "shaky" if count == 1 => return Err(Error::new(Kind::BadUpstream, "shaky")),
            "hang" | "shaky" | "queued" => {
                let (mut holds, mut answered) = (self.holds.subscribe(), self.answered.subscribe());
                tokio::select! {
                    released = holds.wait_for(|holds| !holds) => drop(released.unwrap()),
                    released = answered.wait_for(|answered| answered.contains(&content)) => drop(released.unwrap()),
                }
            }
            "bad" => {
                return Ok(answer(
                    StatusCode::BAD_REQUEST,
                    r#"{"error":{"message":"no","type":"t","param":null,"code":null}}"#,
                ));
            }
            "busy" if count <= 3 => {
                let retry_after = Some(Duration::ZERO);
                return Err(Error::new(Kind::RateLimited { retry_after }, "busy"));
            }
            "locked" if count <= 4 => {
                return Err(Error::new(Kind::BadUpstream, "our key").with_code(CREDENTIALS_REFUSED));
            }
            "broken" => return Err(Error::new(Kind::BadUpstream, "broken")),
            "lethal" => std::future::pending().await,
            "panic" => panic!("as the line asked"),
            _ => {}
        }
        Ok(answer(StatusCode::OK, &format!("{{\"echo\":\n {}}}", serde_json::to_string(&content).unwrap())))
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        Ok(vec![ModelInfo { id: MODEL.to_owned(), owned_by: "tests".to_owned(), ..ModelInfo::default() }])
    }

    async fn deployments(&self) -> Result<Vec<DeploymentInfo>> {
        Ok(Vec::new())
    }
}

fn answer(status: StatusCode, body: &str) -> ModelResponse {
    let usage = Some(Usage { input: 3, output: 2, ..Usage::default() });
    let outcome = Outcome { usage, ..Outcome::default() };
    let body = ModelBody::whole(Bytes::copy_from_slice(body.as_bytes()), outcome);
    ModelResponse {
        served: Some(Served { deployment: "fake".into(), attempts: 1, ..Served::default() }),
        status,
        headers: HeaderMap::new(),
        body,
    }
}
