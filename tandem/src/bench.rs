//! `tandem bench`: the same chat load through the gateway and directly to the simulator, in turns, on this machine.
//! It starts its own `tandem up` with a fresh data folder, so it measures nothing that somebody else is using.

use crate::{cli::BenchArgs, settings::Settings};
use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{
    net::SocketAddr,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, process::Child, task::JoinSet};

const READY_WITHIN: Duration = Duration::from_secs(20);

type Http = Client<HttpConnector, Full<Bytes>>;

/// One deployment that is always asked, and two that are watched and chosen between; all are the same simulator.
const CATALOG: &str = r#"
[[model]]
name = "plain"
policy = "priority"
[[model.deployment]]
name = "only"
url = "SIMULATOR"
upstream_model = "tandem-sim"

[[model]]
name = "chosen"
policy = "least_loaded"
[[model.deployment]]
name = "first"
engine = "vllm"
url = "SIMULATOR"
upstream_model = "tandem-sim"
[[model.deployment]]
name = "second"
engine = "vllm"
url = "SIMULATOR/"
upstream_model = "tandem-sim"
"#;

/// One place to send the load.
#[derive(Clone)]
struct Target {
    url: String,
    key: String,
    model: &'static str,
}

/// What one leg measured.
struct Leg {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<()> {
    let simulator = free_port().await?;
    let http = client();
    let whole = Site::start(&http, simulator, None, "tandem-sim").await?;
    let routed = whole.target("tandem-sim");
    let direct =
        Target { url: format!("http://{simulator}/v1/chat/completions"), key: String::new(), ..routed.clone() };
    println!("chat completions of one token, simulator without delays, {} rounds, median of rounds", args.rounds);
    let loads = [(args.requests / 10, 1), (args.requests, args.concurrency)].map(|(requests, concurrency)| Load {
        requests,
        concurrency,
        rounds: args.rounds,
    });
    for load in loads {
        let [rate, ratio, p50, p99] = compare(&http, &direct, &routed, load).await?;
        println!(
            "concurrency {:>3}: {rate:>7.0} requests/s through the gateway, {ratio:.2} of direct; added latency p50 {p50:+.0} us, p99 {p99:+.0} us",
            load.concurrency,
        );
    }
    let catalog = CATALOG.replace("SIMULATOR", &format!("http://{simulator}/v1"));
    let choosing = Site::start(&http, free_port().await?, Some(&catalog), "chosen").await?;
    let (plain, chosen) = (choosing.target("plain"), choosing.target("chosen"));
    for load in loads {
        let [rate, ratio, p50, p99] = compare(&http, &plain, &chosen, load).await?;
        println!(
            "concurrency {:>3}: {rate:>7.0} requests/s with two deployments, scraped, least-loaded; {ratio:.3} of one plain deployment; p50 {p50:+.0} us, p99 {p99:+.0} us",
            load.concurrency,
        );
    }
    Ok(())
}

/// A running `tandem up` with a fresh data folder.
struct Site {
    url: String,
    key: String,
    _server: Child,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn start(
        http: &Http,
        simulator: SocketAddr,
        catalog: Option<&str>,
        model: &'static str,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let gateway = free_port().await?;
        let mut settings = Settings::default();
        settings.data.dir = folder.path().join("data");
        let key = first_key(&settings).await?;
        if let Some(catalog) = catalog {
            std::fs::write(settings.data.absolute_dir().join("models.toml"), catalog)?;
        }
        let mut server = start(&settings, gateway, simulator)?;
        let url = format!("http://{gateway}/v1/chat/completions");
        wait_until_ready(http, &Target { url: url.clone(), key: key.clone(), model }, &mut server).await?;
        Ok(Self { url, key, _server: server, _folder: folder })
    }

    fn target(&self, model: &'static str) -> Target {
        Target { url: self.url.clone(), key: self.key.clone(), model }
    }
}

#[derive(Clone, Copy)]
struct Load {
    requests: usize,
    concurrency: usize,
    rounds: usize,
}

/// Requests per second of `routed`, their ratio to those of `direct`, and the latency that `routed` adds at p50 and p99.
async fn compare(http: &Http, direct: &Target, routed: &Target, load: Load) -> anyhow::Result<[f64; 4]> {
    let (mut ratios, mut p50, mut p99, mut rates) = (vec![], vec![], vec![], vec![]);
    measure(http, routed, load).await?;
    for _ in 0..load.rounds {
        let through = measure(http, routed, load).await?;
        let straight = measure(http, direct, load).await?;
        ratios.push(through.per_second / straight.per_second);
        rates.push(through.per_second);
        p50.push(micros(through.p50) - micros(straight.p50));
        p99.push(micros(through.p99) - micros(straight.p99));
    }
    Ok([rates, ratios, p50, p99].map(median))
}

async fn measure(http: &Http, target: &Target, load: Load) -> anyhow::Result<Leg> {
    let left = std::sync::Arc::new(AtomicUsize::new(load.requests));
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..load.concurrency {
        let (http, target, left) = (http.clone(), target.clone(), left.clone());
        senders.spawn(async move {
            let mut times = Vec::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                let sent = Instant::now();
                chat(&http, &target).await?;
                times.push(sent.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::with_capacity(load.requests);
    while let Some(sender) = senders.join_next().await {
        times.extend(sender??);
    }
    let elapsed = began.elapsed();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Leg { per_second: times.len() as f64 / elapsed.as_secs_f64(), p50: at(0.50), p99: at(0.99) })
}

async fn chat(http: &Http, target: &Target) -> anyhow::Result<()> {
    let body = format!(
        r#"{{"model":"{}","max_tokens":1,"messages":[{{"role":"user","content":"Say something short about the sea."}}]}}"#,
        target.model
    );
    let request = Request::post(&target.url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", target.key))
        .body(Full::new(Bytes::from(body)))?;
    let response = http.request(request).await?;
    ensure!(response.status() == StatusCode::OK, "{} answered {}", target.url, response.status());
    response.into_body().collect().await?;
    Ok(())
}

fn client() -> Http {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

async fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

async fn first_key(settings: &Settings) -> anyhow::Result<String> {
    let store = settings.data.open().await?;
    store.migrate().await?;
    let tenant = store.ensure_tenant("bench").await?;
    let (_, secret) = store.create_key(&tenant.id, &store::NewKey::named("bench", domain::Scopes::USER)).await?;
    Ok(secret)
}

fn start(settings: &Settings, gateway: SocketAddr, simulator: SocketAddr) -> anyhow::Result<Child> {
    tokio::process::Command::new(std::env::current_exe()?)
        .arg("up")
        .current_dir(settings.data.absolute_dir())
        .env_remove("TANDEM_UPSTREAM")
        .env("TANDEM__DATA__DIR", settings.data.absolute_dir())
        .env("TANDEM__HTTP__BIND", gateway.to_string())
        .env("TANDEM__ADMIN__BIND", "127.0.0.1:0")
        .env("TANDEM__SIMULATOR__BIND", simulator.to_string())
        .env("TANDEM__SIMULATOR__DECODE_TOKENS_PER_SEC", "0")
        .env("TANDEM__SIMULATOR__PREFILL_TOKENS_PER_SEC", "0")
        .env("TANDEM__TELEMETRY__LOG", "warn")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("can't start the server to measure")
}

async fn wait_until_ready(http: &Http, target: &Target, server: &mut Child) -> anyhow::Result<()> {
    let began = Instant::now();
    while chat(http, target).await.is_err() {
        if let Some(status) = server.try_wait()? {
            anyhow::bail!("the server to measure ended with {status}");
        }
        ensure!(began.elapsed() < READY_WITHIN, "the server to measure did not answer");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
