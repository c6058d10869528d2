//! One sequence on its way through the engine: wait, prefill, then token after token on its own clock.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::Stream;
use tokio::time::{Instant, sleep_until};

use crate::{
    metrics::Metrics,
    scheduler::Seat,
    settings::{BLOCK_TOKENS, SimulatorSettings},
    text::Voice,
};

/// The slowest step, so that a tiny speed cannot overflow the clock.
const LONGEST: Duration = Duration::from_secs(86_400);

/// How long tokens take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    prefill: f64,
    decode: f64,
}

/// What a sequence is going to say; known before it begins, since its text is a pure function.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) voice: Voice,
    /// Tokens in all.
    pub(crate) length: usize,
    /// Bytes after which a stop string hides the rest.
    pub(crate) visible_bytes: usize,
    pub(crate) finish: &'static str,
    pub(crate) stop_reason: Option<String>,
}

/// One token of choice `index`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) index: usize,
    pub(crate) text: &'static str,
    /// Which token of its choice this is, from 1.
    pub(crate) number: usize,
    pub(crate) is_last: bool,
}

/// One sequence in the engine; dropping it ends its work.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) index: usize,
    pub(crate) script: Script,
    pub(crate) prompt_tokens: usize,
    seat: Seat,
    pace: Pace,
    metrics: Arc<Metrics>,
    produced: usize,
    shown_bytes: usize,
    entered: Instant,
    due: Instant,
}

impl Pace {
    pub(crate) fn new(settings: &SimulatorSettings) -> Self {
        Self { prefill: settings.prefill_tokens_per_sec, decode: settings.decode_tokens_per_sec }
    }
}

impl Script {
    /// `max_tokens` tokens, or fewer if one of `stops` comes up.
    pub(crate) fn new(voice: Voice, max_tokens: usize, ends_by_itself: bool, stops: &[String]) -> Self {
        let finish = if ends_by_itself { "stop" } else { "length" };
        let whole = Self { voice, length: max_tokens, visible_bytes: usize::MAX, finish, stop_reason: None };
        if stops.is_empty() {
            return whole;
        }
        let longest = stops.iter().map(String::len).max().unwrap_or(0);
        let mut text = String::new();
        for position in 0..max_tokens {
            let from = text.len().saturating_sub(longest);
            text.push_str(voice.word(position));
            let hit = stops.iter().filter_map(|stop| Some((text[from..].find(stop.as_str())?, stop))).min();
            if let Some((at, stop)) = hit {
                let (visible_bytes, stop_reason) = (from + at, Some(stop.clone()));
                return Self { length: position + 1, visible_bytes, finish: "stop", stop_reason, ..whole };
            }
        }
        whole
    }
}

impl Lane {
    pub(crate) fn new(
        index: usize,
        script: Script,
        prompt_tokens: usize,
        seat: Seat,
        pace: Pace,
        metrics: Arc<Metrics>,
    ) -> Self {
        let now = Instant::now();
        Self { index, script, prompt_tokens, seat, pace, metrics, produced: 0, shown_bytes: 0, entered: now, due: now }
    }

    /// Waits for a place and reads the prompt; returns the prompt tokens that were cached.
    pub(crate) async fn prefill(&mut self) -> usize {
        let cached = self.compute_prompt().await;
        self.metrics.prompt_tokens.fetch_add(self.prompt_tokens as u64, Ordering::Relaxed);
        self.metrics.cached_tokens.fetch_add(cached as u64, Ordering::Relaxed);
        cached
    }

    /// Everything this sequence says, a token at a time; the sequence leaves the engine after its last token.
    pub(crate) fn into_tokens(mut self) -> impl Stream<Item = Token> + Send + 'static {
        async_stream::stream! {
            self.prefill().await;
            while self.produced < self.script.length {
                self.advance(1).await;
                yield self.token();
            }
            self.finish();
        }
    }

    /// Runs to the end without showing tokens one by one; returns the whole text.
    pub(crate) async fn run(&mut self) -> String {
        self.prefill().await;
        let mut text = String::new();
        while self.produced < self.script.length {
            let before = self.produced;
            self.advance(BLOCK_TOKENS.min(self.script.length - before)).await;
            (before..self.produced).for_each(|position| text.push_str(self.script.voice.word(position)));
        }
        self.finish();
        text.truncate(self.script.visible_bytes);
        text
    }

    /// Counts the sequence as done.
    pub(crate) fn finish(&self) {
        let metrics = &self.metrics;
        metrics.latency.observe(self.entered.elapsed());
        let finished =
            if self.script.finish == "stop" { &metrics.finished_by_stop } else { &metrics.finished_by_length };
        finished.fetch_add(1, Ordering::Relaxed);
    }

    async fn compute_prompt(&mut self) -> usize {
        let cached = self.seat.granted().await;
        let now = Instant::now();
        if self.produced == 0 {
            self.metrics.queue_time.observe(now - self.entered);
        }
        // After a preemption the tokens made so far are read again like a prompt.
        let to_compute = (self.prompt_tokens + self.produced).saturating_sub(cached);
        self.due = now + duration(to_compute, self.pace.prefill);
        wait_until(self.due).await;
        cached
    }

    async fn advance(&mut self, count: usize) {
        if !self.seat.is_running() {
            self.compute_prompt().await;
        }
        let before = self.prompt_tokens + self.produced;
        if (before + count).div_ceil(BLOCK_TOKENS) > before.div_ceil(BLOCK_TOKENS) {
            self.seat.grow(before + count);
            if !self.seat.is_running() {
                self.compute_prompt().await;
            }
        }
        let gap = duration(1, self.pace.decode);
        self.due += gap * count as u32;
        wait_until(self.due).await;
        self.record(count, gap);
        self.produced += count;
    }

    fn record(&self, count: usize, gap: Duration) {
        self.metrics.generation_tokens.fetch_add(count as u64, Ordering::Relaxed);
        let mut gaps = count;
        if self.produced == 0 {
            self.metrics.first_token.observe(self.entered.elapsed());
            gaps -= 1;
        }
        (0..gaps).for_each(|_| self.metrics.token_gap.observe(gap));
    }

    fn token(&mut self) -> Token {
        let word = self.script.voice.word(self.produced - 1);
        let visible = self.script.visible_bytes.saturating_sub(self.shown_bytes).min(word.len());
        self.shown_bytes += word.len();
        Token {
            index: self.index,
            text: &word[..visible],
            number: self.produced,
            is_last: self.produced == self.script.length,
        }
    }
}

/// The time for `tokens` at `per_second`; 0 = no time at all.
fn duration(tokens: usize, per_second: f64) -> Duration {
    if per_second <= 0.0 {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(tokens as f64 / per_second).map_or(LONGEST, |time| time.min(LONGEST))
}

async fn wait_until(due: Instant) {
    // Without a delay not even a timer is made.
    if due > Instant::now() {
        sleep_until(due).await;
    }
}
