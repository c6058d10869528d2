//! What every row breaks: the services with three workers, a batch under way, and the audit at its end.

use e2e::{Database, Process, Site, chat_lines, eventually, scenarios};
use serde_json::{Value, json};
use std::{fmt, time::Duration};

/// Only ends a hung row.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);
pub(crate) const LINES: usize = 3_000;
/// Tokens a second of each of the simulator's 64 sequences.
pub(crate) const PACE: f64 = 100.0;
const TOKENS: u32 = 20;

/// The processes, and one batch.
pub(crate) struct Cluster {
    pub(crate) site: Site,
    pub(crate) orchestrator: Process,
    pub(crate) gateway: Process,
    pub(crate) workers: Vec<Process>,
    batch: String,
    lines: usize,
}

/// What a row has counted at the model server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) lines: usize,
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    /// Calls that the batch itself says were made again because a worker ended.
    pub(crate) redone: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, asked, answered, redone } = self;
        write!(f, "{lines} lines, {asked} asked, {answered} answered in full, {redone} told to be made again")
    }
}

impl Cluster {
    /// Three workers and a batch of [`LINES`], a part of which is done.
    pub(crate) async fn under_way() -> Self {
        let cluster = Self::with_workers(&[&[], &[], &[]], "").await;
        cluster.submit(LINES).await
    }

    /// One worker for each of these settings; no batch yet.
    pub(crate) async fn with_workers(workers: &[&[(&str, &str)]], deployment: &str) -> Self {
        let site = Site::new(Database::Postgres, PACE).await;
        let upstream = format!("{}/v1", site.upstream_root());
        Self::on(site, &upstream, workers, deployment).await
    }

    /// The same on a site that is there, over this way to the model server.
    pub(crate) async fn on(site: Site, upstream: &str, settings: &[&[(&str, &str)]], deployment: &str) -> Self {
        let orchestrator = site.start_orchestrator(upstream, &format!("engine = \"vllm\"\n{deployment}"));
        let gateway = site.start_gateway_of(&orchestrator).await;
        let mut workers = Vec::new();
        for settings in settings {
            workers.push(site.start_worker_of(&orchestrator, settings));
        }
        Self { site, orchestrator, gateway, workers, batch: String::new(), lines: 0 }
    }

    /// With a batch that is a tenth done.
    pub(crate) async fn submit(mut self, lines: usize) -> Self {
        let before = self.site.simulator.stats().completed;
        self.batch = self.site.submit(&self.gateway, chat_lines(lines, TOKENS)).await;
        self.lines = lines;
        self.until_answered(before + lines as u64 / 10).await;
        self
    }

    /// Cancels the batch; that it has ended already is as good.
    pub(crate) async fn cancel(&self) {
        let url = format!("{}/v1/batches/{}/cancel", self.gateway.url, self.batch);
        let told = self.site.client().post(url).bearer_auth(&self.site.key).send().await.unwrap();
        assert!(told.status().is_success() || told.status().as_u16() == 409, "{}", told.status());
    }

    /// Waits until the model server has answered so many calls.
    pub(crate) async fn until_answered(&self, count: u64) {
        let is_there = async || self.site.simulator.stats().completed >= count;
        assert!(eventually(LIMIT, is_there).await, "{:?}\n{}", self.site.simulator.stats(), self.site.log());
    }

    /// Tells the model server to do wrong.
    pub(crate) async fn arm(&self, fault: Value) {
        let url = format!("{}/sim/faults", self.site.upstream_root());
        let armed = self.site.client().post(url).json(&fault).send().await.unwrap();
        assert!(armed.status().is_success(), "{fault}");
    }

    /// And to do so no more.
    pub(crate) async fn disarm(&self) {
        let url = format!("{}/sim/faults", self.site.upstream_root());
        self.site.client().delete(url).send().await.unwrap().error_for_status().unwrap();
    }

    pub(crate) async fn start_worker(&mut self) {
        self.workers.push(self.site.start_worker_of(&self.orchestrator, &[]));
    }

    /// The batch as it is now.
    pub(crate) async fn batch(&self) -> Value {
        let path = format!("/v1/batches/{}", self.batch);
        self.site.try_get(&self.gateway, &path).await.unwrap_or_default()
    }

    /// Waits for the end of the batch, in which every line has been answered, and audits it.
    pub(crate) async fn completed(&self) -> Seen {
        let batch = self.ended().await;
        let counts = json!({"completed": self.lines, "failed": 0});
        for (name, count) in counts.as_object().unwrap() {
            assert_eq!(batch["request_counts"][name], *count, "{batch}\n{}", self.site.log());
        }
        assert_eq!(batch["status"], "completed");
        let seen = self.seen(&batch);
        assert!(seen.redone <= seen.asked - self.lines as u64, "what is said to be made again was: {seen}");
        seen
    }

    /// Waits for the end of the batch, whichever it is, and audits it.
    pub(crate) async fn ended(&self) -> Value {
        let mut batch = Value::Null;
        let is_over = async || {
            batch = self.batch().await;
            ["completed", "failed", "expired", "cancelled"].iter().any(|end| batch["status"] == *end)
        };
        assert!(eventually(LIMIT, is_over).await, "{batch}\n{}", self.site.log());
        let audited = scenarios::audit(&self.site.api(&self.gateway), &batch, self.lines).await;
        audited.unwrap_or_else(|wrong| panic!("{wrong}\n{}", self.site.log()));
        batch
    }

    pub(crate) fn seen(&self, batch: &Value) -> Seen {
        let stats = self.site.simulator.stats();
        let redone = batch["usage"]["redone_requests"].as_u64().unwrap_or_default();
        Seen { lines: self.lines, asked: stats.requests, answered: stats.completed, redone }
    }
}
