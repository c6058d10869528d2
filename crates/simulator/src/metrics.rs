//! What the server has done, under vLLM's metric names and labels.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::scheduler::{Load, Totals};

const TOKEN_GAPS: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0];
const FIRST_TOKENS: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
];
const LATENCIES: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
];

/// Counters and histograms of one server; written without locks.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) generation_tokens: AtomicU64,
    pub(crate) cached_tokens: AtomicU64,
    pub(crate) finished_by_stop: AtomicU64,
    pub(crate) finished_by_length: AtomicU64,
    pub(crate) first_token: Histogram,
    pub(crate) token_gap: Histogram,
    pub(crate) latency: Histogram,
    pub(crate) queue_time: Histogram,
}

/// Durations, counted in buckets of seconds.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    counts: Vec<AtomicU64>,
    sum_micros: AtomicU64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            prompt_tokens: AtomicU64::new(0),
            generation_tokens: AtomicU64::new(0),
            cached_tokens: AtomicU64::new(0),
            finished_by_stop: AtomicU64::new(0),
            finished_by_length: AtomicU64::new(0),
            first_token: Histogram::new(FIRST_TOKENS),
            token_gap: Histogram::new(TOKEN_GAPS),
            latency: Histogram::new(LATENCIES),
            queue_time: Histogram::new(LATENCIES),
        }
    }

    /// The text of `GET /metrics`.
    pub(crate) fn render(&self, model: &str, load: Load, totals: &Totals) -> String {
        let mut page = Page::new(model);
        page.gauge("num_requests_running", "Number of requests in model execution batches.", load.running as f64);
        page.gauge("num_requests_waiting", "Number of requests waiting to be processed.", load.waiting as f64);
        page.head("num_requests_waiting_by_reason", "Waiting requests by reason.", "gauge");
        page.sample("num_requests_waiting_by_reason", "reason=\"capacity\"", load.waiting as f64);
        page.sample("num_requests_waiting_by_reason", "reason=\"deferred\"", 0.0);
        page.gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", load.kv_usage);
        page.rejections(&totals.rejections);
        page.head("request_success_total", "Count of successfully processed requests.", "counter");
        for (reason, count) in [
            ("stop", read(&self.finished_by_stop)),
            ("length", read(&self.finished_by_length)),
            // Hung-up requests are counted nowhere by vLLM 0.32 either.
            ("abort", 0.0),
            ("error", 0.0),
            ("repetition", 0.0),
        ] {
            page.sample("request_success_total", &format!("finished_reason=\"{reason}\""), count);
        }
        page.counter("prompt_tokens_total", "Number of prefill tokens processed.", &self.prompt_tokens);
        page.counter("generation_tokens_total", "Number of generation tokens processed.", &self.generation_tokens);
        page.counter("prefix_cache_queries_total", "Prefix cache queries, in tokens.", &totals.cache_queries);
        page.counter("prefix_cache_hits_total", "Prefix cache hits, in tokens.", &totals.cache_hits);
        page.counter("num_preemptions_total", "Cumulative number of preemptions.", &totals.preemptions);
        page.histogram("time_to_first_token_seconds", "Time to first token.", &self.first_token);
        page.histogram("inter_token_latency_seconds", "Time between two tokens.", &self.token_gap);
        page.histogram("e2e_request_latency_seconds", "End to end request latency.", &self.latency);
        page.histogram("request_queue_time_seconds", "Time spent in the waiting queue.", &self.queue_time);
        page.text
    }
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum_micros: AtomicU64::new(0) }
    }

    pub(crate) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let slot = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[slot].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(duration.as_micros() as u64, Ordering::Relaxed);
    }
}

struct Page<'a> {
    model: &'a str,
    text: String,
}

impl<'a> Page<'a> {
    fn new(model: &'a str) -> Self {
        Self { model, text: String::with_capacity(8 * 1024) }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = write!(self.text, "# HELP vllm:{name} {help}\n# TYPE vllm:{name} {kind}\n");
    }

    /// Labels in the order of their names, as vLLM writes them.
    fn sample(&mut self, name: &str, more_label: &str, value: f64) {
        let model = format!("model_name=\"{}\"", self.model);
        let mut labels = vec!["engine=\"0\"", &model, more_label];
        labels.retain(|label| !label.is_empty());
        labels.sort_unstable();
        let _ = writeln!(self.text, "vllm:{name}{{{}}} {value:?}", labels.join(","));
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, help, "gauge");
        self.sample(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: &AtomicU64) {
        self.head(name, help, "counter");
        self.sample(name, "", read(value));
    }

    /// The one metric that belongs to the front, so that it has no engine.
    fn rejections(&mut self, value: &AtomicU64) {
        let (name, model, value) = ("admission_rejections_total", self.model, read(value));
        self.head(name, "Requests refused before they reached the engine.", "counter");
        let _ = writeln!(self.text, "vllm:{name}{{model_name=\"{model}\"reason=\"max_num_queued_reqs\"}} {value:?}");
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, help, "histogram");
        let mut total = 0.0;
        let bounds = histogram.bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&histogram.counts) {
            total += read(count);
            self.sample(&format!("{name}_bucket"), &format!("le=\"{bound}\""), total);
        }
        self.sample(&format!("{name}_count"), "", total);
        self.sample(&format!("{name}_sum"), "", read(&histogram.sum_micros) / 1e6);
    }
}

fn read(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}
