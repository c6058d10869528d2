//! `make bench-queue`: what a batch costs beside its answers. Lines as fast as they go, with each doorbell; and at a model server
//! that answers a thousand lines a second, beside the same calls without a queue.
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

/// The model server of the paced leg: 64 sequences that take 64 ms each.
const PACE: f64 = 250.0;
const PACED_TOKENS: u32 = 16;
const PACED_LINES: usize = 20_000;
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
        report(&format!("no delay, {doorbell}"), &leg(at_once, doorbell, lines, 1).await);
    }
    let paced = SimulatorSettings { prefill_tokens_per_sec: 0.0, decode_tokens_per_sec: PACE, ..wide() };
    let calls = calls(paced.clone()).await;
    println!("1,000 lines/s, no queue: {PACED_LINES} calls in {calls:.2} s ({:.0}/s)", PACED_LINES as f64 / calls);
    let leg = leg(paced, "embedded", PACED_LINES, PACED_TOKENS).await;
    report("1,000 lines/s, embedded", &leg);
    println!("the batch took {:.3} of the calls without a queue", leg.seconds / calls);
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

/// One batch on a fresh platform: a gateway, a worker and PostgreSQL, with the settings of production.
async fn leg(simulator: SimulatorSettings, doorbell: &str, lines: usize, tokens: u32) -> Leg {
    let queue = format!("tandem.bench.{}", std::process::id());
    let site = Site::with_simulator(Database::Postgres, simulator).await.with_environment(&[
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
    let batch = site.submit(&gateway, chat_lines(lines, tokens)).await;
    let begun = Instant::now();
    completed(&site, &gateway, &batch, lines).await;
    let seconds = begun.elapsed().as_secs_f64();
    let page = site.metrics(&worker).await;
    let steps = STEPS.map(|step| (step, sample(&page, "count", step), sample(&page, "sum", step))).to_vec();
    let row = site.store.batch_by_id(&BatchId::from_string(&batch)).await.expect("an answer").expect("the batch");
    let begun = row.in_progress_at_ms.expect("it ran");
    let last = row.finalizing_at_ms.expect("its lines ended");
    let phases = [begun - row.created_at_ms, last - begun, row.completed_at_ms.expect("it ended") - last];
    Leg { lines, seconds, phases, steps }
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
