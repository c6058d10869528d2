//! A caller who sends chat completions and looks at the clock: for `make bench-proxies`, which compares what stands between such a
//! caller and a model server. One thread, one JSON object on the standard output.
#![expect(clippy::print_stdout, reason = "its report")]

mod clock;
mod connection;
mod serve;

use anyhow::ensure;
use async_channel::Sender;
use clap::{Args, Parser, Subcommand};
use clock::Clock;
use connection::Connection;
use http::Uri;
use memchr::memmem;
use serde_json::json;
use std::{
    io::Read,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

/// Chat completions, timed.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// Whole answers of one token at a steady rate, whether or not the ones before have come, over connections that were used before.
    Paced {
        #[command(flatten)]
        target: Target,
        /// How many callers share them: more requests at once than that wait for their turn, and that counts.
        #[arg(long)]
        callers: usize,
        /// Requests a second.
        #[arg(long)]
        rate: f64,
        /// Seconds.
        #[arg(long)]
        seconds: f64,
    },
    /// Streams, always as many at once; who has read one begins the next. The first of each makes the connections and is not timed.
    Streams {
        #[command(flatten)]
        target: Target,
        /// How many at once.
        #[arg(long)]
        count: usize,
        /// Tokens of each.
        #[arg(long)]
        tokens: u64,
        /// How many each caller reads that are timed.
        #[arg(long)]
        rounds: usize,
        /// Callers begin spread over so many milliseconds.
        #[arg(long)]
        spread_ms: u64,
    },
    /// The other end: a model server that answers everything with a stream.
    Serve {
        /// Where to listen.
        #[arg(long)]
        bind: SocketAddr,
        /// Tokens of each stream.
        #[arg(long)]
        tokens: usize,
        /// Milliseconds between two of them; the first comes at once.
        #[arg(long)]
        gap_ms: u64,
    },
    /// Streams that are left open after their first token, until the standard input ends.
    Idle {
        #[command(flatten)]
        target: Target,
        /// How many.
        #[arg(long)]
        count: usize,
    },
}

#[derive(Args, Clone)]
struct Target {
    /// Where chat completions are asked.
    #[arg(long)]
    url: Uri,
    /// The key to ask with.
    #[arg(long, default_value = "none")]
    key: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let report = match Cli::parse().load {
        Load::Paced { target, callers, rate, seconds } => paced(target, callers, rate, seconds).await?,
        Load::Streams { target, count, tokens, rounds, spread_ms } => {
            streams(target, count, tokens, rounds, Duration::from_millis(spread_ms)).await?
        }
        Load::Idle { target, count } => idle(target, count).await?,
        Load::Serve { bind, tokens, gap_ms } => {
            return serve::serve(bind, tokens, Duration::from_millis(gap_ms)).await;
        }
    };
    println!("{report}");
    Ok(())
}

/// Long enough for a percentile, and for whatever happens twenty times a second.
const WINDOW: Duration = Duration::from_millis(50);

impl Target {
    /// What is asked, as it goes over the wire.
    fn question(&self, tokens: u64, is_stream: bool) -> Vec<u8> {
        let body = json!({"model": "tandem-sim", "max_tokens": tokens, "stream": is_stream,
                          "messages": [{"role": "user", "content": "Say something short about the sea."}]});
        let (body, host) = (body.to_string(), self.url.authority().map_or("", |authority| authority.as_str()));
        let (path, key, length) = (self.url.path(), &self.key, body.len());
        let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n");
        format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    }
}

async fn paced(target: Target, callers: usize, rate: f64, seconds: f64) -> anyhow::Result<serde_json::Value> {
    let (sender, due) = async_channel::unbounded::<Instant>();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let due = due.clone();
        let mut connection = Connection::open(&target, 1, false).await?;
        // A storm of new connections is another matter than a steady load.
        connection.ask().await?;
        tasks.spawn(async move {
            let mut times = Vec::new();
            while let Ok(at) = due.recv().await {
                connection.ask().await?;
                times.push((at, at.elapsed()));
            }
            anyhow::Ok(times)
        });
    }
    drop(due);
    pace(sender, rate, seconds).await?;
    let mut times = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        times.extend(ended??);
    }
    times.sort_unstable();
    let in_window = p99_of_a_window(&times).as_micros();
    let mut latency = quantiles(times.iter().map(|(_, took)| *took).collect());
    latency["p99_in_window"] = json!(in_window);
    Ok(json!({"requests": times.len(), "latency": latency}))
}

/// The 99th percentile of the median window, for requests in the order in which they were due: what the rare moments take away in
/// which a virtual machine does not run is not in it, what happens many times a second is.
fn p99_of_a_window(times: &[(Instant, Duration)]) -> Duration {
    let Some((begun, _)) = times.first() else { return Duration::ZERO };
    let number = |(due, _): &(Instant, Duration)| due.duration_since(*begun).as_millis() / WINDOW.as_millis();
    let windows = times.chunk_by(|one, other| number(one) == number(other));
    at(0.5, windows.map(|window| at(0.99, window.iter().map(|(_, took)| *took).collect())).collect())
}

/// Says when requests are due: those that come together would wait for each other.
async fn pace(sender: Sender<Instant>, rate: f64, seconds: f64) -> anyhow::Result<()> {
    let mut clock = Clock::every(Duration::from_secs_f64(1.0 / rate))?;
    let begun = Instant::now();
    for number in 0..(rate * seconds) as u64 {
        let due = begun + Duration::from_secs_f64(number as f64 / rate);
        while Instant::now() < due {
            clock.tick().await?;
        }
        // Nobody takes it when all callers have failed, which they tell when they are joined.
        let _ = sender.send(due).await;
    }
    Ok(())
}

async fn streams(
    target: Target,
    count: usize,
    tokens: u64,
    rounds: usize,
    spread: Duration,
) -> anyhow::Result<serde_json::Value> {
    let mut callers = JoinSet::new();
    let events = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    for number in 0..count {
        let (target, events) = (target.clone(), events.clone());
        let wait = spread.mul_f64(number as f64 / count as f64);
        callers.spawn(async move {
            sleep(wait).await;
            let mut connection = Connection::open(&target, tokens, true).await?;
            let mut times = Vec::with_capacity(rounds);
            for round in 0..=rounds {
                let sent = Instant::now();
                connection.ask_for_stream().await?;
                let mut first = None;
                let mut look = |bytes: &[u8]| {
                    first.get_or_insert_with(|| sent.elapsed());
                    events.fetch_add(count_events(bytes), Ordering::Relaxed);
                };
                while connection.next(&mut look).await? {}
                times.extend(first.filter(|_| round > 0));
            }
            anyhow::Ok(times)
        });
    }
    let mut first = Vec::new();
    while let Some(ended) = callers.join_next().await {
        first.extend(ended??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(json!({"streams": count * (rounds + 1), "events": events.load(Ordering::Relaxed), "seconds": seconds,
              "first_token": quantiles(first)}))
}

/// Events end with an empty line.
fn count_events(bytes: &[u8]) -> u64 {
    memmem::find_iter(bytes, b"\n\n").count() as u64
}

async fn idle(target: Target, count: usize) -> anyhow::Result<serde_json::Value> {
    // So many handshakes at once that no listener's backlog overflows.
    let door = Arc::new(Semaphore::new(64));
    let mut callers = JoinSet::new();
    for _ in 0..count {
        let (target, door) = (target.clone(), door.clone());
        callers.spawn(async move {
            let entered = door.acquire().await?;
            let mut connection = Connection::open(&target, 1_000, true).await?;
            connection.ask_for_stream().await?;
            ensure!(connection.next(|_| ()).await?, "the stream ended");
            drop(entered);
            anyhow::Ok(connection)
        });
    }
    let mut open = Vec::with_capacity(count);
    while let Some(ended) = callers.join_next().await {
        open.push(ended??);
    }
    println!("{}", json!({"open": open.len()}));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    let ended = open.iter_mut().map(Connection::is_ended).filter(|is_ended| *is_ended).count();
    Ok(json!({"open": open.len() - ended, "ended": ended}))
}

/// In microseconds.
fn quantiles(times: Vec<Duration>) -> serde_json::Value {
    json!({"p50": at(0.5, times.clone()).as_micros(), "p99": at(0.99, times).as_micros()})
}

/// The time within which that share of them lies.
fn at(share: f64, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let index = (times.len().saturating_sub(1) as f64 * share) as usize;
    times.get(index).copied().unwrap_or_default()
}
