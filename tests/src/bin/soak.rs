//! `make soak`: hundreds of streams at once through a real process, while the model servers fail in every way they know. At the
//! end nothing may be left over: no memory, no socket, no sequence, no token that one side counts and the other does not.
#![expect(clippy::print_stdout, reason = "a report for a person")]

use e2e::eventually;
use futures::StreamExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use servers::Reserved;
use simulator::{Simulator, SimulatorSettings};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use store::Store;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

const STREAMS: u64 = 500;
/// What goes wrong, and how often in percent.
const FAULTS: [(&str, f64); 9] = [
    ("status=500", 2.0),
    ("status=503", 1.0),
    ("status=429;retry_after=1", 0.01),
    ("reset", 1.0),
    ("cut=5", 2.0),
    ("stall=5", 0.5),
    ("malformed=5", 1.0),
    ("error=5", 1.0),
    ("no_done", 1.0),
];
/// Callers who leave, in percent.
const IMPATIENT: f64 = 10.0;

/// What the callers have seen.
#[derive(Default)]
struct Tally {
    complete: AtomicU64,
    typed_errors: AtomicU64,
    hung_up: AtomicU64,
    /// Tokens of the complete answers, as their usage said.
    tokens: AtomicU64,
    violations: AtomicU64,
}

/// The process under test.
struct Tandem {
    child: Child,
    url: String,
    admin: String,
    key: String,
    _addresses: [Reserved; 2],
}

#[tokio::main]
async fn main() {
    let minutes: f64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10.0);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (simulators, _stop) = start_simulators().await;
    let mut tandem = start_tandem(folder.path(), &simulators).await;
    let http = client();
    let idle = tandem.resources();
    println!("{STREAMS} streams for {minutes} min; idle: {idle:?}");

    let tally = Arc::new(Tally::default());
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut callers = JoinSet::new();
    for number in 0..STREAMS {
        callers.spawn(call_until(end, number, http.clone(), tandem.url.clone(), tandem.key.clone(), tally.clone()));
    }
    let samples = watch(&tandem, end, &tally).await;
    while callers.join_next().await.is_some() {}
    drop(http);

    let mut problems: Vec<_> = check_memory(&samples).into_iter().collect();
    problems.extend(check_leftovers(&tandem, idle, &simulators).await);
    problems.extend(check_accounts(&tandem, &tally, &simulators).await);
    let violations = tally.violations.load(Ordering::Relaxed);
    if violations > 0 {
        problems.push(format!("{violations} answers were neither complete nor a typed error"));
    }
    let ended = Command::new("kill").args(["-TERM", &tandem.child.id().to_string()]).status();
    assert!(ended.is_ok_and(|status| status.success()) && tandem.child.wait().is_ok(), "the process ends");
    if !problems.is_empty() {
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        let last: Vec<_> = log.lines().rev().take(20).collect();
        println!("FAILED:\n- {}\nlast log lines:\n{}", problems.join("\n- "), last.join("\n"));
        std::process::exit(1);
    }
    println!("passed");
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().expect("an HTTP client")
}

async fn start_simulators() -> (Vec<(Arc<Simulator>, String)>, CancellationToken) {
    let stop = CancellationToken::new();
    let mut simulators = Vec::new();
    for seed in [1, 2] {
        let settings = SimulatorSettings { seed, max_num_seqs: 400, ..SimulatorSettings::default() };
        let simulator = Simulator::new(settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(simulator::serve(listener, simulator.clone(), stop.clone()));
        for (fault, percent) in FAULTS {
            let fault = json!({"fault": fault, "probability": percent / 100.0});
            let armed = client().post(format!("{url}/sim/faults")).json(&fault).send().await.expect("an answer");
            assert!(armed.status().is_success(), "{fault}");
        }
        simulators.push((simulator, url));
    }
    (simulators, stop)
}

async fn start_tandem(folder: &Path, simulators: &[(Arc<Simulator>, String)]) -> Tandem {
    let urls: Vec<_> = simulators.iter().map(|(_, url)| format!("\"{url}/v1\"")).collect();
    let catalog = format!(
        "[[model]]\nname = \"m\"\n[[model.deployment]]\nname = \"pods\"\nengine = \"vllm\"\nupstream_model = \"tandem-sim\"\n\
         urls = [{}]\nfirst_token_ms = 10000\nidle_ms = 3000\ntotal_ms = 15000\n",
        urls.join(", ")
    );
    std::fs::write(folder.join("models.toml"), catalog).expect("the catalog can be written");
    let database = format!("sqlite://{}", folder.join("tandem.db").display());
    let store = Store::open(&database).await.expect("the database opens");
    store.migrate().await.expect("the database migrates");
    let tenant = store.ensure_tenant("acme").await.expect("a tenant");
    let (_, key) =
        store.create_key(&tenant.id, &store::NewKey::named("soak", domain::Scopes::USER)).await.expect("a key");
    let (api, admin) = (Reserved::address(), Reserved::address());
    let binary = std::env::current_exe().expect("the path of this program").with_file_name("tandem");
    let log = std::fs::File::create(folder.join("log")).expect("a log file");
    let child = Command::new(binary)
        .arg("up")
        .current_dir(folder)
        .env("TANDEM__HTTP__BIND", api.to_string())
        .env("TANDEM__ADMIN__BIND", admin.to_string())
        .env("TANDEM__DATA__DIR", folder)
        .env("TANDEM__TELEMETRY__LOG", "error")
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("`cargo build --bins` makes it");
    let (url, root) = (format!("http://{api}"), format!("http://{admin}"));
    let tandem = Tandem { child, url, admin: root, key, _addresses: [api, admin] };
    let ready = async || client().get(format!("{}/readyz", tandem.admin)).send().await.is_ok();
    assert!(eventually(Duration::from_secs(30), ready).await, "it does not start");
    tandem
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Resources {
    rss_mib: f64,
    files: usize,
    threads: usize,
}

impl Tandem {
    fn resources(&self) -> Resources {
        let proc = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap_or_default();
        let number = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)
        };
        Resources {
            rss_mib: number("VmRSS:") / 1024.0,
            files: std::fs::read_dir(format!("{proc}/fd")).map_or(0, Iterator::count),
            threads: number("Threads:") as usize,
        }
    }

    /// The sum of a metric's samples whose labels hold all of `labels`.
    async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = client().get(format!("{}/metrics", self.admin)).send().await.expect("metrics");
        let page = page.text().await.expect("text");
        let lines =
            page.lines().filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

async fn watch(tandem: &Tandem, end: Instant, tally: &Tally) -> Vec<Resources> {
    let period = (end - Instant::now()) / 40;
    let mut samples = Vec::new();
    while Instant::now() < end {
        tokio::time::sleep(period).await;
        let now = tandem.resources();
        samples.push(now);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        println!(
            "{now:?} complete {} typed errors {} hung up {} violations {}",
            read(&tally.complete),
            read(&tally.typed_errors),
            read(&tally.hung_up),
            read(&tally.violations)
        );
    }
    samples
}

async fn call_until(end: Instant, number: u64, http: reqwest::Client, url: String, key: String, tally: Arc<Tally>) {
    let mut dice = StdRng::seed_from_u64(number);
    let mut turn = 0;
    while Instant::now() < end {
        turn += 1;
        let is_stream = dice.random_bool(0.9);
        let mut body = json!({
            "model": "m", "stream": is_stream, "max_tokens": dice.random_range(30..60),
            "messages": [{"role": "user", "content": format!("caller {number} turn {turn}")}],
        });
        if is_stream {
            body["stream_options"] = json!({"include_usage": true});
        }
        let patience = dice.random_bool(IMPATIENT / 100.0).then(|| dice.random_range(1..5));
        let request = http.post(format!("{url}/v1/chat/completions")).bearer_auth(&key).json(&body);
        match call(request, is_stream, patience).await {
            Ok(Some(tokens)) => {
                tally.complete.fetch_add(1, Ordering::Relaxed);
                tally.tokens.fetch_add(tokens, Ordering::Relaxed);
            }
            Ok(None) => _ = tally.hung_up.fetch_add(1, Ordering::Relaxed),
            Err(End::TypedError) => {
                tally.typed_errors.fetch_add(1, Ordering::Relaxed);
                // A server that is down is not asked again at once.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(End::Violation(what)) => {
                println!("caller {number}: {what}");
                tally.violations.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

enum End {
    TypedError,
    Violation(String),
}

/// Calls once: the tokens of a complete answer, nothing when the caller left after `patience` pieces.
async fn call(request: reqwest::RequestBuilder, is_stream: bool, patience: Option<usize>) -> Result<Option<u64>, End> {
    let response = request.send().await.map_err(|error| End::Violation(format!("no answer: {error}")))?;
    let is_success = response.status().is_success();
    if !is_stream || !is_success {
        let body = response.bytes().await.map_err(|error| End::Violation(format!("no body: {error}")))?;
        return judge_whole(&body, is_success);
    }
    let mut events = String::new();
    let mut pieces = response.bytes_stream();
    let mut seen = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| End::Violation(format!("a stream broke: {error}")))?;
        events.push_str(&String::from_utf8_lossy(&piece));
        seen += 1;
        if patience.is_some_and(|patience| seen >= patience) {
            return Ok(None);
        }
    }
    judge_stream(&events)
}

fn judge_whole(body: &[u8], is_success: bool) -> Result<Option<u64>, End> {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    match (is_success, value["usage"]["completion_tokens"].as_u64(), value["error"]["message"].is_string()) {
        (true, Some(tokens), _) => Ok(Some(tokens)),
        (false, _, true) => Err(End::TypedError),
        _ => Err(End::Violation(format!("neither answer nor error: {}", String::from_utf8_lossy(body)))),
    }
}

fn judge_stream(events: &str) -> Result<Option<u64>, End> {
    let data: Vec<_> = events.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let json = |text: &&str| serde_json::from_str::<Value>(text).unwrap_or_default();
    match data.split_last() {
        Some((&"[DONE]", chunks)) => {
            let usage = chunks.last().map(json).unwrap_or_default()["usage"]["completion_tokens"].as_u64();
            usage.map(Some).ok_or_else(|| End::Violation("a complete stream without usage".into()))
        }
        Some((last, _)) if json(last)["error"]["message"].is_string() => Err(End::TypedError),
        _ => Err(End::Violation(format!("a stream without an end: {:?}", data.last()))),
    }
}

/// Memory is flat when its median in the last quarter is not far over that of the second.
fn check_memory(samples: &[Resources]) -> Option<String> {
    let median = |part: &[Resources]| {
        let mut sizes: Vec<_> = part.iter().map(|sample| sample.rss_mib).collect();
        sizes.sort_by(f64::total_cmp);
        sizes[sizes.len() / 2]
    };
    let quarter = (samples.len() / 4).max(1);
    let (early, late) = (median(&samples[quarter..2 * quarter]), median(&samples[samples.len() - quarter..]));
    println!("RSS: second quarter {early:.0} MiB, last quarter {late:.0} MiB");
    (late > early * 1.1 + 8.0).then(|| format!("memory grows: {early:.0} MiB, then {late:.0} MiB"))
}

async fn check_leftovers(tandem: &Tandem, idle: Resources, simulators: &[(Arc<Simulator>, String)]) -> Option<String> {
    let is_quiet = async || {
        let busy = simulators.iter().any(|(simulator, _)| simulator.stats().running + simulator.stats().waiting > 0);
        // Connections that are kept for the scraping stay.
        let now = tandem.resources();
        !busy && now.files <= idle.files + 8 && now.threads <= idle.threads + 4
    };
    let is_clean = eventually(Duration::from_secs(30), is_quiet).await;
    let now = tandem.resources();
    println!("afterwards: {now:?}");
    (!is_clean).then(|| format!("something is left over: idle {idle:?}, now {now:?}"))
}

async fn check_accounts(tandem: &Tandem, tally: &Tally, simulators: &[(Arc<Simulator>, String)]) -> Vec<String> {
    let name = "tandem_output_tokens_total";
    let complete = tandem.metric(name, &["outcome=\"complete\""]).await;
    let all = tandem.metric(name, &[]).await;
    let told = tally.tokens.load(Ordering::Relaxed) as f64;
    let generated: u64 = simulators.iter().map(|(simulator, _)| simulator.stats().tokens.generated).sum();
    let generated = generated as f64;
    let missing = (generated - all) / generated * 100.0;
    println!("tokens of complete answers: callers {told}, Tandem {complete}");
    println!(
        "tokens of all answers: generated {generated}, Tandem {all} ({missing:.3} % were generated and not delivered)"
    );
    let mut problems = Vec::new();
    if (complete - told).abs() > 0.5 {
        problems.push(format!("callers got {told} tokens in complete answers, Tandem counts {complete}"));
    }
    if !(-0.01..1.0).contains(&missing) {
        problems.push(format!("the model servers generated {generated} tokens, Tandem counts {all}"));
    }
    problems
}
