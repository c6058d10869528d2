//! `make bench-queue`: what a batch costs beside its answers. Lines as fast as they go, with each doorbell; and at a model server
//! that answers a thousand lines a second, beside the same calls without a queue: when batch need not give way, so that all that
//! is added is the queue's, and when it has to, the first time and once it is known what the server carries.
#![expect(clippy::print_stdout, reason = "a report for a person")]

use domain::BatchId;
use e2e::{Database, Process, Site, chat_lines};
use futures::{StreamExt, stream};
use serde_json::json;
use simulator::SimulatorSettings;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What the worker does beside answering lines, as its metric names it.
const STEPS: [&str; 7] = ["claim", "settle", "ring", "plan", "heartbeat", "write", "commit"];
/// Those that a queue is to blame for; `write` and `commit` make answers durable.
const QUEUE: [&str; 4] = ["claim", "settle", "ring", "plan"];

/// The model server of the paced legs: 64 sequences that take 61 ms each, a little over a thousand lines a second.
const PACE: f64 = 262.0;
const PACED_TOKENS: u32 = 16;
const PACED_LINES: usize = 60_000;
const IN_FLIGHT: usize = 256;

/// Shards that a worker has at once; each waits for its own claims and checkpoints only.
const SLOTS: f64 = 4.0;

/// What one batch took.
struct Leg {
    lines: usize,
    seconds: f64,
    /// Milliseconds until it was judged, from there until its last line had its record, and from there until its files were there.
    phases: [i64; 3],
    /// Per step: how often, and how many seconds together.
    steps: Vec<(&'static str, f64, f64)>,
}

#[tokio::main]
async fn main() {
    let lines: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    for doorbell in ["embedded", "rabbitmq"] {
        let at_once = SimulatorSettings { prefill_tokens_per_sec: 0.0, decode_tokens_per_sec: 0.0, ..wide() };
        let platform = Platform::start(at_once, doorbell, "").await;
        report(&format!("no delay, {doorbell}"), &platform.leg(lines, 1).await);
    }
    let calls = calls(paced()).await;
    println!("1,000 lines/s, no queue: {PACED_LINES} calls in {calls:.2} s ({:.0}/s)", PACED_LINES as f64 / calls);
    let compare = |title: &str, leg: &Leg| {
        report(title, leg);
        println!("  it took    {:.3} of the calls without a queue", leg.seconds / calls);
    };
    let platform = Platform::start(paced(), "rabbitmq", "batch_yields = false\n").await;
    compare("1,000 lines/s, batch gives way to nobody", &platform.leg(PACED_LINES, PACED_TOKENS).await);
    drop(platform);
    let platform = Platform::start(paced(), "rabbitmq", "engine = \"vllm\"\n").await;
    for title in ["1,000 lines/s, an unknown server", "1,000 lines/s, a known server"] {
        compare(title, &platform.leg(PACED_LINES, PACED_TOKENS).await);
    }
}

fn paced() -> SimulatorSettings {
    SimulatorSettings { prefill_tokens_per_sec: 0.0, decode_tokens_per_sec: PACE, ..wide() }
}

fn wide() -> SimulatorSettings {
    SimulatorSettings { kv_tokens: 4_194_304, ..SimulatorSettings::default() }
}

fn report(title: &str, leg: &Leg) {
    println!(
        "{title}: {} lines from create to completed in {:.2} s ({:.0} lines/s)",
        leg.lines,
        leg.seconds,
        leg.lines as f64 / leg.seconds
    );
    let [judged, ran, ended] = leg.phases;
    println!("  judged in {judged} ms, ran for {ran} ms, files made in {ended} ms");
    for (step, count, seconds) in &leg.steps {
        let mean = if *count > 0.0 { seconds / count * 1e3 } else { 0.0 };
        println!(
            "  {step:10} {count:6.0} times, {mean:7.2} ms each, {:5.2} % of the time",
            seconds / leg.seconds * 100.0
        );
    }
    let queue: f64 = leg.steps.iter().filter(|step| QUEUE.contains(&step.0)).map(|step| step.2).sum();
    let share = queue / leg.seconds * 100.0;
    println!("  the queue  {share:.2} % of the time, {:.2} % of that of its {SLOTS} slots", share / SLOTS);
}

/// A gateway, a worker and PostgreSQL, with the settings of production.
struct Platform {
    site: Site,
    gateway: Process,
    worker: Process,
}

impl Platform {
    /// A fresh one, with these lines in the catalog's deployment.
    async fn start(simulator: SimulatorSettings, doorbell: &str, deployment: &str) -> Self {
        let queue = format!("tandem.bench.{}", std::process::id());
        let site = Site::with_simulator(Database::Postgres, simulator).await.with_deployment(deployment);
        let site = site.with_environment(&[
            ("TANDEM__DOORBELL__KIND", doorbell),
            ("TANDEM__DOORBELL__RABBITMQ__URLS", "amqp://guest:guest@127.0.0.1:5672"),
            ("TANDEM__DOORBELL__RABBITMQ__QUEUE", &queue),
        ]);
        let gateway = site.start_gateways(1).await.remove(0);
        let defaults = [
            ("TANDEM__WORKER__LEASE_MS", "30000"),
            ("TANDEM__WORKER__HEARTBEAT_MS", "10000"),
            ("TANDEM__WORKER__SWEEP_MS", "5000"),
            ("TANDEM__WORKER__POLL_MS", "2000"),
            ("TANDEM__WORKER__FLUSH_MS", "500"),
        ];
        let worker = site.start_worker_with(&defaults);
        // Once it is through, everybody is there.
        let first = site.submit(&gateway, chat_lines(1, 1)).await;
        completed(&site, &gateway, &first, 1).await;
        Self { site, gateway, worker }
    }

    /// One batch, from its creation to its files.
    async fn leg(&self, lines: usize, tokens: u32) -> Leg {
        let Self { site, gateway, .. } = self;
        let before = self.steps().await;
        let batch = site.submit(gateway, chat_lines(lines, tokens)).await;
        let begun = Instant::now();
        completed(site, gateway, &batch, lines).await;
        let seconds = begun.elapsed().as_secs_f64();
        let steps = self.steps().await.into_iter().zip(before);
        let steps = steps.map(|((step, count, spent), (_, n, s))| (step, count - n, spent - s)).collect();
        let row = site.store.batch_by_id(&BatchId::from_string(&batch)).await.expect("an answer").expect("the batch");
        let begun = row.in_progress_at_ms.expect("it ran");
        let last = row.finalizing_at_ms.expect("its lines ended");
        let phases = [begun - row.created_at_ms, last - begun, row.completed_at_ms.expect("it ended") - last];
        Leg { lines, seconds, phases, steps }
    }

    /// Per step: how often until now, and how many seconds together.
    async fn steps(&self) -> Vec<(&'static str, f64, f64)> {
        let page = self.site.metrics(&self.worker).await;
        STEPS.map(|step| (step, sample(&page, "count", step), sample(&page, "sum", step))).to_vec()
    }
}

async fn completed(site: &Site, gateway: &Process, batch: &str, lines: usize) {
    loop {
        sleep(Duration::from_millis(50)).await;
        let now = site.try_get(gateway, &format!("/v1/batches/{batch}")).await.expect("the batch");
        match now["status"].as_str() {
            Some("validating" | "in_progress" | "finalizing") => {}
            Some("completed") => {
                assert_eq!(now["request_counts"]["completed"], json!(lines), "{now}");
                return;
            }
            _ => panic!("{now}"),
        }
    }
}

fn sample(page: &str, kind: &str, step: &str) -> f64 {
    let (name, label) = (format!("tandem_batch_step_duration_seconds_{kind}"), format!("step=\"{step}\""));
    let samples = page.lines().filter(|line| line.starts_with(&name) && line.contains(&label));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// The same calls as those of the paced batch, by a caller who has nothing else to do.
async fn calls(simulator: SimulatorSettings) -> f64 {
    let site = Site::with_simulator(Database::Postgres, simulator).await;
    let url = format!("{}/v1/chat/completions", site.upstream_root());
    let call = async |n: usize| {
        let body = json!({"model": "tandem-sim", "max_tokens": PACED_TOKENS, "messages": [{"role": "user", "content": format!("Question {n}")}]});
        let answer = site.client().post(&url).json(&body).send().await.expect("an answer");
        assert!(answer.status().is_success());
        answer.bytes().await.expect("a whole answer");
    };
    let begun = Instant::now();
    stream::iter(0..PACED_LINES).for_each_concurrent(IN_FLIGHT, call).await;
    begun.elapsed().as_secs_f64()
}
