//! One simulated model server: its engine, its counters, its routes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    chat, completions, embeddings,
    faults::Faults,
    info,
    lane::{Lane, Pace, Script},
    metrics::Metrics,
    refusal::{Refusal, detail},
    request::{Dialect, TextRequest},
    scheduler::{Scheduler, Seat},
    settings::SimulatorSettings,
    text::{Prompt, Voice},
};

/// A model server that thinks of nothing, and answers like vLLM.
#[derive(Debug)]
pub struct Simulator {
    pub(crate) settings: SimulatorSettings,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) faults: Faults,
    pub(crate) started: u64,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    completed: AtomicU64,
    aborted: AtomicU64,
    failed: AtomicU64,
}

/// What the server has done since it started; also at `GET /sim/stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests to the three model endpoints.
    pub requests: u64,
    /// Answered in full.
    pub completed: u64,
    /// Given up by the client before the end.
    pub aborted: u64,
    /// Refused, or spoilt by an injected fault.
    pub failed: u64,
    /// Sequences that run now.
    pub running: usize,
    /// The most sequences that ever ran at once.
    pub peak_running: usize,
    /// Sequences that wait now.
    pub waiting: usize,
    /// Tokens by kind.
    pub tokens: TokenStats,
    /// Sequences sent back to the queue for lack of KV cache.
    pub preemptions: u64,
}

/// Tokens since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStats {
    /// Read as prompts, including the cached ones.
    pub prompt: u64,
    /// Of these, found in the prefix cache.
    pub cached: u64,
    /// Generated, including those of answers that were given up.
    pub generated: u64,
}

/// One request on its way; counted as aborted if nobody says how it ended.
#[derive(Debug)]
pub(crate) struct Ticket {
    counts: Arc<Counts>,
    is_settled: bool,
}

impl Simulator {
    /// A server with nothing running and no faults armed.
    #[must_use]
    pub fn new(settings: SimulatorSettings) -> Arc<Self> {
        Arc::new(Self {
            scheduler: Scheduler::new(&settings),
            metrics: Arc::new(Metrics::new()),
            faults: Faults::new(settings.seed),
            started: unix_seconds(),
            counts: Arc::default(),
            settings,
        })
    }

    /// vLLM's endpoints, and `/sim/*` to control and watch the simulator.
    /// The fault `reset` needs [`crate::serve`]; elsewhere it closes the connection after the headers.
    pub fn routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/v1/chat/completions", post(chat::create))
            .route("/v1/completions", post(completions::create))
            .route("/v1/embeddings", post(embeddings::create))
            .route("/v1/models", get(info::models))
            .route("/health", get(info::health))
            .route("/ping", get(info::health).post(info::health))
            .route("/version", get(info::version))
            .route("/metrics", get(info::metrics))
            .route("/sim/stats", get(info::stats))
            .route("/sim/faults", get(info::armed_faults).post(info::arm_fault).delete(info::disarm_faults))
            .fallback(|| async { detail(StatusCode::NOT_FOUND, "Not Found") })
            .method_not_allowed_fallback(|| async { detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed") })
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(self))
    }

    /// What the server has done until now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let load = self.scheduler.load();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            requests: read(&self.counts.requests),
            completed: read(&self.counts.completed),
            aborted: read(&self.counts.aborted),
            failed: read(&self.counts.failed),
            running: load.running,
            peak_running: self.scheduler.totals.peak_running.load(Ordering::Relaxed),
            waiting: load.waiting,
            tokens: TokenStats {
                prompt: read(&self.metrics.prompt_tokens),
                cached: read(&self.metrics.cached_tokens),
                generated: read(&self.metrics.generation_tokens),
            },
            preemptions: read(&self.scheduler.totals.preemptions),
        }
    }

    /// Counts a request in.
    pub(crate) fn open(&self) -> Ticket {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        Ticket { counts: Arc::clone(&self.counts), is_settled: false }
    }

    /// `chatcmpl-…` after the client's request id, or a fresh one.
    pub(crate) fn answer_id(&self, prefix: &str, headers: &HeaderMap) -> String {
        match headers.get("x-request-id").and_then(|value| value.to_str().ok()) {
            Some(id) => format!("{prefix}-{id}"),
            None => {
                let number = self.counts.requests.load(Ordering::Relaxed);
                format!("{prefix}-{:016x}", xxh3_64_with_seed(&number.to_le_bytes(), self.settings.seed ^ self.started))
            }
        }
    }

    /// Queues every sequence of a request: `n` for each prompt.
    ///
    /// # Errors
    /// The queue is full.
    pub(crate) fn lanes(&self, request: &TextRequest) -> Result<Vec<Lane>, Refusal> {
        let mut lanes = Vec::with_capacity(request.prompts.len() * request.n);
        for prompt in &request.prompts {
            for choice in 0..request.n {
                let voice = Voice::new(self.settings.seed.wrapping_add(choice as u64), &prompt.text);
                let script = self.script(request, prompt, voice);
                let seat = self.seat(request.priority, prompt)?;
                lanes.push(self.lane(lanes.len(), script, prompt, seat));
            }
        }
        Ok(lanes)
    }

    pub(crate) fn seat(&self, priority: i64, prompt: &Prompt) -> Result<Seat, Refusal> {
        self.scheduler.enter(priority, prompt).map_err(|_full| Refusal::busy())
    }

    pub(crate) fn lane(&self, index: usize, script: Script, prompt: &Prompt, seat: Seat) -> Lane {
        Lane::new(index, script, prompt.tokens, seat, Pace::new(&self.settings), Arc::clone(&self.metrics))
    }

    fn script(&self, request: &TextRequest, prompt: &Prompt, voice: Voice) -> Script {
        // A chat without a limit ends by itself; the older dialect has a limit of its own.
        let ends_by_itself = request.max_tokens.is_none() && request.dialect == Dialect::Chat;
        let asked = request.max_tokens.unwrap_or(self.settings.default_max_tokens);
        let room = self.settings.context_tokens() - prompt.tokens;
        Script::new(voice, asked.min(room), ends_by_itself && asked <= room, &request.stops)
    }
}

impl Ticket {
    /// The client got everything.
    pub(crate) fn complete(mut self) {
        self.is_settled = true;
        self.counts.completed.fetch_add(1, Ordering::Relaxed);
    }

    /// The server did not do its part.
    pub(crate) fn fail(mut self) {
        self.is_settled = true;
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_settled {
            self.counts.aborted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Now, as the APIs write it.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
