//! Two model servers behind one router: prompts that begin alike find their cache, and a slow server slows nobody down.
//! Figures are ratios between runs on the same machine, one after the other.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use domain::{Class, RequestContext, RequestId, TenantId, Wishes};
use futures::{StreamExt, stream};
use orchestrator::{
    Dialect, Frame, ModelBackend, ModelRequest, Router, UpstreamClient, catalog::Catalog, settings::ModelsSettings,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use simulator::{Simulator, SimulatorSettings};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::Mutex, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// One measurement at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Model servers and a router over them that watches them, as `open` makes it.
struct Pair {
    router: Router,
    urls: [String; 2],
    _tasks: JoinSet<()>,
}

impl Pair {
    async fn start(policy: &str, settings: [SimulatorSettings; 2]) -> Self {
        let mut tasks = JoinSet::new();
        let mut urls = Vec::new();
        for settings in settings {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            urls.push(format!("http://{}", listener.local_addr().unwrap()));
            tasks.spawn(simulator::serve(listener, Simulator::new(settings), CancellationToken::new()));
        }
        let urls: [String; 2] = urls.try_into().unwrap();
        let catalog = format!(
            "[[model]]\nname = \"m\"\npolicy = \"{policy}\"\n[[model.deployment]]\nname = \"pods\"\nengine = \"vllm\"\n\
             upstream_model = \"tandem-sim\"\nurls = [\"{}/v1\", \"{}/v1\"]\n",
            urls[0], urls[1]
        );
        let router = Router::new(Catalog::parse(&catalog).unwrap(), UpstreamClient::new(), &ModelsSettings::default());
        let (watched, drain) = (router.clone(), chassis::drain::Drain::new(Duration::from_secs(1)));
        tasks.spawn(async move { orchestrator::watch(watched, drain).await.unwrap() });
        Self { router, urls, _tasks: tasks }
    }

    /// Sends a streamed chat and gives the time to the first token.
    async fn ask(&self, prompt: &str) -> Duration {
        let body = serde_json::json!({
            "model": "m", "stream": true, "max_tokens": 8, "messages": [{"role": "user", "content": prompt}],
        });
        let request = ModelRequest::parse(Dialect::Chat, Bytes::from(body.to_string())).unwrap();
        let begun = Instant::now();
        let mut body = self.router.call(&context(), request).await.unwrap().body;
        let first = begun.elapsed();
        while let Some(frame) = body.next().await {
            if let Frame::End(outcome) = frame {
                assert!(outcome.error.is_none(), "{outcome:?}");
            }
        }
        first
    }

    /// How many requests a server has answered in full.
    async fn completed(&self, server: usize) -> u64 {
        let stats =
            reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{}/sim/stats", self.urls[server]));
        stats.send().await.unwrap().json::<serde_json::Value>().await.unwrap()["completed"].as_u64().unwrap()
    }

    /// A counter of each server's own `/metrics`.
    async fn counters(&self, name: &str) -> [f64; 2] {
        let read = |url: String| async move {
            let page = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{url}/metrics"));
            let page = page.send().await.unwrap().text().await.unwrap();
            let line = page.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap().to_owned();
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
        };
        [read(self.urls[0].clone()).await, read(self.urls[1].clone()).await]
    }
}

fn context() -> RequestContext {
    RequestContext {
        request_id: RequestId::generate(),
        tenant: TenantId::generate(),
        key: None,
        class: Class::Interactive,
        trace: None,
        deadline: None,
        wishes: Wishes::default(),
    }
}

/// Conversations in an order of chance, each with a beginning of its own that is longer than what a router looks at.
fn prompts() -> Vec<String> {
    let mut dice = StdRng::seed_from_u64(7);
    let beginning = |conversation: usize| format!("conversation {conversation} ").repeat(120);
    (0..2400).map(|turn| format!("{} question {turn}", beginning(dice.random_range(0..120)))).collect()
}

/// The share of prompt tokens that were found in a cache, and how far the busier server is over the mean.
async fn run(policy: &str) -> (f64, f64) {
    // A cache that holds a little over half of the conversations: who serves them all has forgotten what is asked next.
    let settings = SimulatorSettings {
        prefill_tokens_per_sec: 0.0,
        decode_tokens_per_sec: 0.0,
        kv_tokens: 15_800,
        ..SimulatorSettings::default()
    };
    let pair = Pair::start(policy, [settings.clone(), settings]).await;

    let prompts = prompts();
    stream::iter(&prompts).for_each_concurrent(8, |prompt| async { _ = pair.ask(prompt).await }).await;

    let [hits, queries] =
        [pair.counters("vllm:prefix_cache_hits_total").await, pair.counters("vllm:prefix_cache_queries_total").await];
    let requests = pair.counters("vllm:prompt_tokens_total").await;
    let mean = (requests[0] + requests[1]) / 2.0;
    ((hits[0] + hits[1]) / (queries[0] + queries[1]), requests[0].max(requests[1]) / mean)
}

#[tokio::test]
async fn prompts_that_begin_alike_find_their_cache_and_no_server_is_overrun() {
    let _alone = ALONE.lock().await;
    let (turns, _) = run("round_robin").await;
    // Who gets which conversation follows from the addresses, which chance has chosen: an uneven draw is drawn again.
    let mut told = String::new();
    for _ in 0..3 {
        let (affine, over_mean) = run("prefix_affine").await;
        told = format!(
            "hit rate in turns {turns:.3}, prefix-affine {affine:.3}; busiest server {over_mean:.3} of the mean"
        );
        println!("{told}");
        if affine >= 1.5 * turns && over_mean <= 1.25 {
            return;
        }
    }
    panic!("{told}");
}

/// The 99th percentile of the time to the first token of a steady load.
async fn p99(slowed: f64) -> Duration {
    let speed = |factor: f64| SimulatorSettings {
        prefill_tokens_per_sec: 2_000.0 / factor,
        decode_tokens_per_sec: 100.0 / factor,
        ..SimulatorSettings::default()
    };
    let pair = Arc::new(Pair::start("least_loaded", [speed(1.0), speed(slowed)]).await);
    let mut calls = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for turn in 0..1000 {
        ticks.tick().await;
        let pair = pair.clone();
        calls.spawn(async move { pair.ask(&format!("{turn} {}", "word ".repeat(100))).await });
    }
    let mut waited = calls.join_all().await;
    waited.sort_unstable();
    waited[waited.len() * 99 / 100]
}

#[tokio::test]
async fn a_slow_server_slows_nobody_down() {
    let _alone = ALONE.lock().await;
    // A busy machine only ever adds to a ratio: the best of three says what the router does.
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let healthy = p99(1.0).await;
        let slowed = p99(5.0).await;
        let ratio = slowed.as_secs_f64() / healthy.as_secs_f64();
        println!("p99 of the time to the first token: healthy {healthy:?}, one of two slowed {slowed:?}: {ratio:.2}");
        best = best.min(ratio);
        if best <= 1.3 {
            return;
        }
    }
    panic!("with one server slowed fivefold the 99th percentile is {best:.2} times that of the healthy pair");
}

#[tokio::test]
async fn a_server_that_lacks_the_model_gets_no_work() {
    let _alone = ALONE.lock().await;
    let other = SimulatorSettings { models: vec!["another".into()], ..SimulatorSettings::default() };
    let pair = Pair::start("round_robin", [other, SimulatorSettings::default()]).await;

    // Until the first look its 404 is an answer like any other.
    let is_left = async || {
        let before = pair.completed(1).await;
        for _ in 0..4 {
            pair.ask("hello").await;
        }
        pair.completed(1).await == before + 4
    };

    assert!(e2e::eventually(Duration::from_secs(20), is_left).await, "the server without the model is still asked");
}
