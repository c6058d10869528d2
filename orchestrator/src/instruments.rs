//! What the router measures. Labels are names of the catalog and words of ours, so their number is bounded; no text of a prompt
//! or a key is ever among them.

use crate::settings::GenAiConventions;
use domain::{Money, Usage};
use opentelemetry::{
    KeyValue, StringValue, Value, global,
    metrics::{BoundCounter, BoundHistogram, Counter, Histogram},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

const SECONDS: [f64; 14] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const SHORT_SECONDS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5];
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Every instrument of the router.
#[derive(Debug)]
pub(crate) struct Instruments {
    tokens: TokenUsage,
    duration: Histogram<f64>,
    first_chunk: Histogram<f64>,
    per_chunk: Histogram<f64>,
    attempts: Counter<u64>,
    overhead: Histogram<f64>,
    output_tokens: Counter<u64>,
    hedges: Counter<u64>,
    cache: Counter<u64>,
    shadows: Counter<u64>,
    cost: Counter<f64>,
    hedge_cost: Counter<f64>,
}

#[derive(Debug)]
enum TokenUsage {
    /// One histogram with the kind of token as a label.
    Typed(Histogram<f64>),
    /// One histogram for each kind of token.
    Split { input: Histogram<f64>, output: Histogram<f64> },
}

/// Who answered, as labels, made once for each deployment and operation. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Labels(Arc<Labelled>);

#[derive(Debug)]
struct Labelled {
    values: [KeyValue; 4],
    usual: Usual,
}

/// What every call that goes well measures, bound to its labels: to look them up each time costs more than all the rest of a
/// measurement. Bound with the first use, so that nothing is told of what was never measured.
#[derive(Debug, Default)]
struct Usual {
    attempts: OnceLock<BoundCounter<u64>>,
    overhead: OnceLock<BoundHistogram<f64>>,
    first_chunk: OnceLock<BoundHistogram<f64>>,
    per_chunk: OnceLock<BoundHistogram<f64>>,
    duration: OnceLock<BoundHistogram<f64>>,
    input: OnceLock<BoundHistogram<f64>>,
    output: OnceLock<BoundHistogram<f64>>,
    delivered: OnceLock<BoundCounter<u64>>,
    cost: OnceLock<BoundCounter<f64>>,
}

/// The outcome of an attempt that was answered.
pub(crate) const OK: &str = "ok";
/// The outcome of an answer that reached its end.
pub(crate) const COMPLETE: &str = "complete";

impl Labels {
    pub(crate) fn new(operation: &'static str, provider: &'static str, model: &str, deployment: &str) -> Self {
        // Shared text: values are copied with each measurement.
        let shared = |text: &str| Value::String(StringValue::from(Arc::<str>::from(text)));
        let values = [
            KeyValue::new("gen_ai.operation.name", operation),
            KeyValue::new("gen_ai.provider.name", provider),
            KeyValue::new("gen_ai.request.model", shared(model)),
            KeyValue::new("tandem.deployment", shared(deployment)),
        ];
        Self(Arc::new(Labelled { values, usual: Usual::default() }))
    }

    fn values(&self) -> &[KeyValue] {
        &self.0.values
    }

    fn usual(&self) -> &Usual {
        &self.0.usual
    }

    fn with(&self, more: KeyValue) -> [KeyValue; 5] {
        let [a, b, c, d] = &self.0.values;
        [a.clone(), b.clone(), c.clone(), d.clone(), more]
    }
}

impl Instruments {
    pub(crate) fn new(conventions: GenAiConventions) -> Self {
        let meter = global::meter("tandem");
        let seconds = |name: &'static str, buckets: &[f64]| {
            meter.f64_histogram(name).with_unit("s").with_boundaries(buckets.to_vec()).build()
        };
        let tokens = |name: &'static str| {
            meter.f64_histogram(name).with_unit("{token}").with_boundaries(TOKENS.to_vec()).build()
        };
        let count = |name: &'static str| meter.u64_counter(name).build();
        let (tokens, duration, first_chunk, per_chunk) = match conventions {
            GenAiConventions::Current => (
                TokenUsage::Typed(tokens("gen_ai.client.token.usage")),
                seconds("gen_ai.client.operation.duration", &SECONDS),
                seconds("gen_ai.client.operation.time_to_first_chunk", &SECONDS),
                seconds("gen_ai.client.operation.time_per_output_chunk", &SECONDS),
            ),
            GenAiConventions::Next => (
                TokenUsage::Split {
                    input: tokens("gen_ai.client.inference.usage.input_tokens"),
                    output: tokens("gen_ai.client.inference.usage.output_tokens"),
                },
                seconds("gen_ai.client.inference.duration", &SECONDS),
                seconds("gen_ai.client.inference.time_to_first_chunk", &SECONDS),
                seconds("gen_ai.client.inference.time_per_output_chunk", &SECONDS),
            ),
        };
        Self {
            tokens,
            duration,
            first_chunk,
            per_chunk,
            attempts: count("tandem.attempts"),
            overhead: seconds("tandem.overhead", &SHORT_SECONDS),
            output_tokens: count("tandem.output.tokens"),
            hedges: count("tandem.hedges"),
            cache: count("tandem.cache"),
            shadows: count("tandem.shadows"),
            cost: meter.f64_counter("gen_ai.client.cost").with_unit("USD").build(),
            hedge_cost: meter.f64_counter("tandem.hedge.cost").with_unit("USD").build(),
        }
    }

    /// One call to one deployment; `outcome` is `ok`, `refused` or a word for blame.
    pub(crate) fn attempted(&self, labels: &Labels, outcome: &'static str) {
        let told = || labels.with(KeyValue::new("outcome", outcome));
        match outcome {
            OK => labels.usual().attempts.get_or_init(|| self.attempts.bind(&told())).add(1),
            _ => self.attempts.add(1, &told()),
        }
    }

    /// An answer has begun: after `first_chunk` if it is a stream, of which `overhead` was ours.
    pub(crate) fn began(&self, labels: &Labels, first_chunk: Option<Duration>, overhead: Duration) {
        let Usual { first_chunk: bound, overhead: bound_overhead, .. } = labels.usual();
        if let Some(waited) = first_chunk {
            bound.get_or_init(|| self.first_chunk.bind(labels.values())).record(waited.as_secs_f64());
        }
        bound_overhead.get_or_init(|| self.overhead.bind(labels.values())).record(overhead.as_secs_f64());
    }

    /// A whole answer or stream ended; `error` is a word of ours.
    pub(crate) fn ended(&self, labels: &Labels, took: Duration, usage: Option<Usage>, error: Option<&'static str>) {
        let took = took.as_secs_f64();
        match error {
            Some(error) => self.duration.record(took, &labels.with(KeyValue::new("error.type", error))),
            None => labels.usual().duration.get_or_init(|| self.duration.bind(labels.values())).record(took),
        }
        let Some(usage) = usage else { return };
        let Usual { input, output, .. } = labels.usual();
        input.get_or_init(|| self.tokens.bind(labels, "input")).record(usage.input as f64);
        output.get_or_init(|| self.tokens.bind(labels, "output")).record(usage.output as f64);
    }

    /// The mean gap between the chunks of one stream.
    pub(crate) fn paced(&self, labels: &Labels, gap: Duration) {
        let bound = &labels.usual().per_chunk;
        bound.get_or_init(|| self.per_chunk.bind(labels.values())).record(gap.as_secs_f64());
    }

    pub(crate) fn spent(&self, labels: &Labels, cost: Money) {
        let bound = &labels.usual().cost;
        bound.get_or_init(|| self.cost.bind(labels.values())).add(cost.nanos() as f64 / 1e9);
    }

    /// Tokens were delivered in an answer that ended as `outcome` says: `complete`, `broken` or `cancelled`.
    pub(crate) fn delivered(&self, labels: &Labels, tokens: u64, outcome: &'static str) {
        let told = || labels.with(KeyValue::new("outcome", outcome));
        match outcome {
            COMPLETE => labels.usual().delivered.get_or_init(|| self.output_tokens.bind(&told())).add(tokens),
            _ => self.output_tokens.add(tokens, &told()),
        }
    }

    /// A second deployment was asked; `winner` is `first` or `second`, and the other one cost `wasted`.
    pub(crate) fn hedged(&self, model: &str, winner: &'static str, wasted: Option<Money>) {
        self.hedges.add(1, &[model_label(model), KeyValue::new("winner", winner)]);
        if let Some(wasted) = wasted {
            self.hedge_cost.add(wasted.nanos() as f64 / 1e9, &[model_label(model)]);
        }
    }

    /// Somebody looked for an answer given before; `outcome` is `hit` or `miss`.
    pub(crate) fn cache_asked(&self, model: &str, outcome: &'static str) {
        self.cache.add(1, &[model_label(model), KeyValue::new("outcome", outcome)]);
    }

    /// A copy was due; `outcome` is `sent` or `dropped`.
    pub(crate) fn shadowed(&self, model: &str, outcome: &'static str) {
        self.shadows.add(1, &[model_label(model), KeyValue::new("outcome", outcome)]);
    }
}

impl TokenUsage {
    fn bind(&self, labels: &Labels, kind: &'static str) -> BoundHistogram<f64> {
        match self {
            Self::Typed(tokens) => tokens.bind(&labels.with(KeyValue::new("gen_ai.token.type", kind))),
            Self::Split { input, .. } if kind == "input" => input.bind(labels.values()),
            Self::Split { output, .. } => output.bind(labels.values()),
        }
    }
}

fn model_label(model: &str) -> KeyValue {
    KeyValue::new("gen_ai.request.model", model.to_owned())
}
