//! Who runs and who waits: a bounded running set, a queue ordered by priority and arrival, and a KV-block budget
//! with preemption. Knows no time and no text; its lock is taken at most once per block of tokens.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    cache::PrefixCache,
    settings::{BLOCK_TOKENS, SimulatorSettings},
    text::Prompt,
};

/// Lower runs first: priority, then arrival.
type Rank = (i64, u64);

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull;

/// What the scheduler shows of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Load {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
    /// Share of the KV cache in use, 0 to 1.
    pub(crate) kv_usage: f64,
}

/// Totals since start.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) preemptions: AtomicU64,
    pub(crate) rejections: AtomicU64,
    /// The most sequences that ever ran at once.
    pub(crate) peak_running: AtomicUsize,
    pub(crate) cache_queries: AtomicU64,
    pub(crate) cache_hits: AtomicU64,
}

/// The one engine behind a simulated server.
#[derive(Debug)]
pub(crate) struct Scheduler {
    max_running: usize,
    max_waiting: Option<usize>,
    total_blocks: usize,
    state: Mutex<State>,
    pub(crate) totals: Totals,
}

#[derive(Debug)]
struct State {
    running: BTreeMap<Rank, Sequence>,
    waiting: BTreeMap<Rank, Sequence>,
    free_blocks: usize,
    arrivals: u64,
    cache: PrefixCache,
}

#[derive(Debug)]
struct Sequence {
    /// Tokens whose keys and values it holds, or needs to begin.
    tokens: usize,
    held_blocks: usize,
    prompt_tokens: usize,
    prompt_blocks: Arc<[u64]>,
    /// Preempted ones are not counted again in the cache's statistics.
    is_new: bool,
    signal: Arc<Signal>,
}

#[derive(Debug, Default)]
struct Signal {
    is_running: AtomicBool,
    cached_tokens: AtomicUsize,
    granted: Notify,
}

/// A place in the queue or in the running set; dropping it gives everything back.
#[derive(Debug)]
pub(crate) struct Seat {
    scheduler: Arc<Scheduler>,
    rank: Rank,
    signal: Arc<Signal>,
}

impl Scheduler {
    pub(crate) fn new(settings: &SimulatorSettings) -> Arc<Self> {
        let total_blocks = settings.kv_blocks();
        Arc::new(Self {
            max_running: settings.max_num_seqs.max(1),
            max_waiting: settings.max_num_queued,
            total_blocks,
            state: Mutex::new(State {
                running: BTreeMap::new(),
                waiting: BTreeMap::new(),
                free_blocks: total_blocks,
                arrivals: 0,
                cache: PrefixCache::new(total_blocks),
            }),
            totals: Totals::default(),
        })
    }

    /// Takes a place for one sequence.
    ///
    /// # Errors
    /// It would have to wait and the queue is full.
    pub(crate) fn enter(self: &Arc<Self>, priority: i64, prompt: &Prompt) -> Result<Seat, QueueFull> {
        let signal = Arc::new(Signal::default());
        let sequence = Sequence {
            tokens: prompt.tokens + 1,
            held_blocks: 0,
            prompt_tokens: prompt.tokens,
            prompt_blocks: Arc::clone(&prompt.blocks),
            is_new: true,
            signal: Arc::clone(&signal),
        };
        let mut state = self.state.lock();
        let starts_now = state.waiting.is_empty() && self.has_room_for(&state, &sequence);
        if !starts_now && self.max_waiting.is_some_and(|limit| state.waiting.len() >= limit) {
            self.totals.rejections.fetch_add(1, Ordering::Relaxed);
            return Err(QueueFull);
        }
        state.arrivals += 1;
        let rank = (priority, state.arrivals);
        state.waiting.insert(rank, sequence);
        self.fill(&mut state);
        Ok(Seat { scheduler: Arc::clone(self), rank, signal })
    }

    pub(crate) fn load(&self) -> Load {
        let state = self.state.lock();
        let used = self.total_blocks - state.free_blocks;
        Load {
            running: state.running.len(),
            waiting: state.waiting.len(),
            kv_usage: used as f64 / self.total_blocks as f64,
        }
    }

    fn has_room_for(&self, state: &State, sequence: &Sequence) -> bool {
        state.running.len() < self.max_running && blocks_for(sequence.tokens) <= state.free_blocks
    }

    /// Starts waiting sequences in order until the first one that does not fit.
    fn fill(&self, state: &mut State) {
        while let Some(first) = state.waiting.first_entry() {
            let rank = *first.key();
            if !self.has_room_for(state, &state.waiting[&rank]) {
                break;
            }
            if let Some(sequence) = state.waiting.remove(&rank) {
                self.start(state, rank, sequence);
            }
        }
    }

    fn start(&self, state: &mut State, rank: Rank, mut sequence: Sequence) {
        // The last prompt token is always computed, since its output is the first answer token.
        let reusable = sequence.prompt_tokens.saturating_sub(1) / BLOCK_TOKENS;
        let cached = state.cache.visit(&sequence.prompt_blocks).min(reusable) * BLOCK_TOKENS;
        if sequence.is_new {
            self.totals.cache_queries.fetch_add(sequence.prompt_tokens as u64, Ordering::Relaxed);
            self.totals.cache_hits.fetch_add(cached as u64, Ordering::Relaxed);
        }
        sequence.is_new = false;
        sequence.held_blocks = blocks_for(sequence.tokens);
        state.free_blocks -= sequence.held_blocks;
        sequence.signal.cached_tokens.store(cached, Ordering::Relaxed);
        sequence.signal.is_running.store(true, Ordering::Release);
        sequence.signal.granted.notify_one();
        state.running.insert(rank, sequence);
        self.totals.peak_running.fetch_max(state.running.len(), Ordering::Relaxed);
    }

    fn grow(&self, rank: Rank, tokens: usize) {
        let mut state = self.state.lock();
        let Some(sequence) = state.running.get_mut(&rank) else { return };
        sequence.tokens = sequence.tokens.max(tokens);
        let missing = blocks_for(sequence.tokens).saturating_sub(sequence.held_blocks);
        while state.free_blocks < missing {
            let Some((victim, sequence)) = state.running.pop_last() else { return };
            self.preempt(&mut state, victim, sequence);
            if victim == rank {
                break;
            }
        }
        if let Some(sequence) = state.running.get_mut(&rank) {
            sequence.held_blocks += missing;
            state.free_blocks -= missing;
        }
        self.fill(&mut state);
    }

    /// Sends a running sequence back to the queue; all it has computed is lost.
    fn preempt(&self, state: &mut State, rank: Rank, mut sequence: Sequence) {
        self.totals.preemptions.fetch_add(1, Ordering::Relaxed);
        sequence.signal.is_running.store(false, Ordering::Release);
        state.free_blocks += std::mem::take(&mut sequence.held_blocks);
        state.waiting.insert(rank, sequence);
    }

    fn leave(&self, rank: Rank) {
        let mut state = self.state.lock();
        state.waiting.remove(&rank);
        if let Some(sequence) = state.running.remove(&rank) {
            state.free_blocks += sequence.held_blocks;
        }
        self.fill(&mut state);
    }
}

impl Seat {
    /// Waits until the sequence runs; returns how many prompt tokens the cache already holds.
    pub(crate) async fn granted(&self) -> usize {
        while !self.is_running() {
            self.signal.granted.notified().await;
        }
        self.signal.cached_tokens.load(Ordering::Relaxed)
    }

    /// Whether the sequence has not been preempted. Takes no lock.
    pub(crate) fn is_running(&self) -> bool {
        self.signal.is_running.load(Ordering::Acquire)
    }

    /// Takes the blocks for a sequence of `tokens`; this may preempt others, or the sequence itself.
    pub(crate) fn grow(&self, tokens: usize) {
        self.scheduler.grow(self.rank, tokens);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.scheduler.leave(self.rank);
    }
}

fn blocks_for(tokens: usize) -> usize {
    tokens.div_ceil(BLOCK_TOKENS)
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
