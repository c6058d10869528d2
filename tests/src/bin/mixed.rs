//! `make bench-mixed`: people who wait and a batch on the same model server. Bursts of streams come and go while a batch has more to
//! do than fits, once with the batch giving way and once without; the figures are compared with the same bursts alone.
#![expect(clippy::print_stdout, reason = "a report for a person")]

use e2e::{Database, Services, Site, chat_lines};
use futures::StreamExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use std::time::Duration;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// Tokens a second of each sequence; the simulator runs 64 of them.
const PACE: f64 = 50.0;
const BATCH_TOKENS: u32 = 128;
/// More lines than a leg can finish.
const BATCH_LINES: usize = 20_000;
const STREAM_TOKENS: u32 = 64;
const PROMPT_WORDS: usize = 200;
/// Interactive requests a second, on average, while a burst lasts.
const RATE: f64 = 15.0;
const BURST: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(10);
/// How long the last streams of a burst run on: what is measured as idle begins after it.
const LAST_STREAMS: Duration = Duration::from_secs(2);
/// For the batch to find out what fits.
const WARM_UP: Duration = Duration::from_secs(20);

/// What one leg showed.
struct Leg {
    /// Seconds to the first token, sorted.
    first_tokens: Vec<f64>,
    /// Tokens a second while nobody waited.
    idle_tokens: f64,
    /// Calls that gave way.
    yielded: f64,
}

/// What runs beside the streams.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    Batch { yields: bool },
}

#[tokio::main]
async fn main() {
    let cycles: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    println!("{cycles} bursts of {RATE} streams/s for {BURST:?}, {IDLE:?} apart; 64 sequences of {PACE} tokens/s");
    let alone = leg(Beside::Nothing, cycles).await;
    report("streams alone", &alone);
    let ungated = leg(Beside::Batch { yields: false }, cycles).await;
    report("with a batch that does not give way", &ungated);
    let gated = leg(Beside::Batch { yields: true }, cycles).await;
    report("with a batch that gives way", &gated);
    println!(
        "time to first token, p99: {:.2} of that alone when the batch gives way, {:.2} when not",
        quantile(&gated.first_tokens, 0.99) / quantile(&alone.first_tokens, 0.99),
        quantile(&ungated.first_tokens, 0.99) / quantile(&alone.first_tokens, 0.99),
    );
    println!("batch tokens/s between bursts: {:.3} of those when it does not", gated.idle_tokens / ungated.idle_tokens);
}

fn report(title: &str, leg: &Leg) {
    let ms = |share| quantile(&leg.first_tokens, share) * 1e3;
    println!(
        "{title:36} first token p50 {:.1} ms, p99 {:.1} ms of {} streams; {:.0} tokens/s between bursts; {:.0} calls gave way",
        ms(0.5),
        ms(0.99),
        leg.first_tokens.len(),
        leg.idle_tokens,
        leg.yielded,
    );
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

async fn leg(beside: Beside, cycles: usize) -> Leg {
    let site = Site::new(Database::Postgres, PACE).await;
    let yields = beside != Beside::Batch { yields: false };
    let services = site.start_services_with(&format!("engine = \"vllm\"\nbatch_yields = {yields}\n")).await;
    if beside != Beside::Nothing {
        site.submit(&services.gateway, chat_lines(BATCH_LINES, BATCH_TOKENS)).await;
        sleep(WARM_UP).await;
    }
    let mut first_tokens = Vec::new();
    let (mut idle_tokens, mut idle_seconds) = (0.0, 0.0);
    // The same arrivals in each leg.
    let mut dice = StdRng::seed_from_u64(1);
    for _ in 0..cycles {
        first_tokens.extend(burst(&site, &services, &mut dice).await);
        if beside != Beside::Nothing {
            sleep(LAST_STREAMS).await;
            let (before, begun) = (generated(&site).await, Instant::now());
            sleep(IDLE.saturating_sub(LAST_STREAMS)).await;
            idle_tokens += generated(&site).await - before;
            idle_seconds += begun.elapsed().as_secs_f64();
        }
    }
    first_tokens.sort_by(f64::total_cmp);
    let page = site.metrics(&services.orchestrator).await;
    let yielded = counted(&page, "tandem_attempts_total", "outcome=\"yielded\"");
    Leg { first_tokens, idle_tokens: idle_tokens / f64::max(idle_seconds, 1.0), yielded }
}

/// Streams at chance moments; gives the times to their first tokens.
async fn burst(site: &Site, services: &Services, dice: &mut StdRng) -> Vec<f64> {
    let end = Instant::now() + BURST;
    let mut streams = JoinSet::new();
    let mut next = Instant::now();
    loop {
        next += Duration::from_secs_f64(-dice.random_range(f64::EPSILON..1.0_f64).ln() / RATE);
        if next >= end {
            break;
        }
        let seed: u64 = dice.random();
        sleep_until(next).await;
        let request =
            site.client().post(format!("{}/v1/chat/completions", services.gateway.url)).bearer_auth(&site.key).json(
                &json!({
                    "model": "tandem-sim", "stream": true, "max_tokens": STREAM_TOKENS,
                    "messages": [{"role": "user", "content": format!("{seed} {}", "word ".repeat(PROMPT_WORDS))}],
                }),
            );
        streams.spawn(first_token(request));
    }
    streams.join_all().await
}

/// Reads a stream to its end and gives the time to its first content.
async fn first_token(request: reqwest::RequestBuilder) -> f64 {
    let begun = Instant::now();
    let response = request.send().await.and_then(reqwest::Response::error_for_status).expect("an answer");
    let mut body = response.bytes_stream();
    let mut first = None;
    let mut text = Vec::new();
    while let Some(chunk) = body.next().await {
        text.extend_from_slice(&chunk.expect("the stream goes on"));
        if first.is_none() && has_content(&text) {
            first = Some(begun.elapsed());
        }
    }
    assert!(String::from_utf8_lossy(&text).contains("[DONE]"), "the stream reaches its end");
    first.expect("content").as_secs_f64()
}

/// Whether an event of the stream has a token; the first only says who speaks.
fn has_content(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.lines().any(|line| line.contains("\"content\":\"") && !line.contains("\"content\":\"\""))
}

/// Tokens that the model server has made so far.
async fn generated(site: &Site) -> f64 {
    let page = site.client().get(format!("{}/metrics", site.upstream_root())).send().await.expect("an answer");
    counted(&page.text().await.expect("a page"), "vllm:generation_tokens_total", "")
}

/// The sum of a counter's samples with this label.
fn counted(page: &str, name: &str, label: &str) -> f64 {
    let samples = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
