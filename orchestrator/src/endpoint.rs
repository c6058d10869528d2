//! One address of a deployment, and what is known of it while it lives: its load, its speed, its health.

use crate::{
    breaker::Breaker,
    policy::EndpointView,
    spare::{EngineLook, Spare},
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use url::Url;

/// Half of what was given to an endpoint is forgotten after this.
const HALF_LIFE: Duration = Duration::from_secs(10);
/// Share of a new measurement in the average.
const NEWEST: f64 = 0.2;
/// Calls that an endpoint is assumed to carry at once when it has no limit.
const CAPACITY: f64 = 64.0;
/// What an endpoint gets at its first moment.
const FIRST_SHARE: f64 = 0.05;

/// One address.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The address below which the API is.
    pub(crate) url: Url,
    /// As metrics and explanations name it: host and port.
    pub(crate) name: String,
    pub(crate) breaker: Breaker,
    /// What it can carry beside interactive calls.
    pub(crate) spare: Arc<Spare>,
    hash: u64,
    /// Since when it gets work, if it came while the process ran.
    since: Option<Instant>,
    in_flight: AtomicUsize,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    /// Tokens of the calls that run.
    tokens: f64,
    /// Tokens of calls that ended, at `faded`.
    past: f64,
    faded: Option<Instant>,
    /// Seconds to the first token, and when the last was seen.
    ttft: Option<(f64, Instant)>,
    /// What the server says of itself; nothing when it was not heard the last time.
    scraped: Option<(Scraped, Instant)>,
    health: Option<(Health, Instant)>,
}

/// What a look at a server found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Alive,
    /// It says so itself.
    Dead,
    LacksModel,
    /// It did not answer in time; requests find out whether it works.
    Silent,
}

impl Health {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Dead => "dead",
            Self::LacksModel => "lacks_model",
            Self::Silent => "silent",
        }
    }
}

/// What a model server says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Scraped {
    /// Requests it works on.
    pub(crate) running: f64,
    /// Requests that wait in it.
    pub(crate) waiting: f64,
    /// Share of its KV cache in use, from 0 to 1.
    pub(crate) kv_usage: f64,
    /// Prompt tokens that were looked for in its prefix cache, since it started.
    pub(crate) prefix_queries: f64,
    /// Those that were found.
    pub(crate) prefix_hits: f64,
    /// Requests that had to give up what was computed for them, since it started.
    pub(crate) preemptions: f64,
}

impl From<Scraped> for EngineLook {
    fn from(scraped: Scraped) -> Self {
        let Scraped { running, waiting, kv_usage, preemptions, .. } = scraped;
        Self { running, waiting, kv_usage, preemptions }
    }
}

/// Counts a call as long as it lives.
#[derive(Debug)]
pub(crate) struct InFlight {
    endpoint: Arc<Endpoint>,
    tokens: f64,
}

impl Endpoint {
    /// `since` is when it was found, if the process ran already.
    pub(crate) fn new(url: Url, since: Option<Instant>) -> Self {
        let host = url.host_str().unwrap_or_default();
        let name = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        Self {
            hash: xxhash_rust::xxh3::xxh3_64(url.as_str().as_bytes()),
            breaker: Breaker::default(),
            spare: Arc::default(),
            in_flight: AtomicUsize::new(0),
            live: Mutex::default(),
            since,
            name,
            url,
        }
    }

    /// Notes a call that is expected to take `tokens`.
    pub(crate) fn begin(self: &Arc<Self>, tokens: f64) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.live.lock().tokens += tokens;
        InFlight { endpoint: self.clone(), tokens }
    }

    /// Notes that a first token came after `waited`.
    pub(crate) fn saw_first_token(&self, waited: Duration, now: Instant) {
        let mut live = self.live.lock();
        let waited = waited.as_secs_f64();
        let average = live.ttft.map_or(waited, |(average, _)| average + NEWEST * (waited - average));
        live.ttft = Some((average, now));
    }

    /// Notes what the server said of itself; `None` = it said nothing.
    pub(crate) fn saw(&self, scraped: Option<Scraped>, now: Instant) {
        self.live.lock().scraped = scraped.map(|scraped| (scraped, now));
    }

    pub(crate) fn scraped(&self) -> Scraped {
        self.last_scraped().map(|(scraped, _)| scraped).unwrap_or_default()
    }

    /// What the server says of itself, and when it said it.
    pub(crate) fn last_scraped(&self) -> Option<(Scraped, Instant)> {
        self.live.lock().scraped
    }

    /// Notes what a look at the server found.
    pub(crate) fn saw_health(&self, health: Health, now: Instant) {
        self.live.lock().health = Some((health, now));
    }

    /// What the last look found, and when.
    pub(crate) fn health(&self) -> Option<(Health, Instant)> {
        self.live.lock().health
    }

    /// How long first tokens took lately.
    pub(crate) fn first_token(&self) -> Option<Duration> {
        self.live.lock().ttft.map(|(average, _)| Duration::from_secs_f64(average))
    }

    /// Calls that run now.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What a policy may know. Priority, weight and cost are the deployment's, and left for it to fill.
    pub(crate) fn view(&self, now: Instant, ramp: Duration) -> EndpointView {
        let live = self.live.lock();
        let scraped = live.scraped.map(|(scraped, _)| scraped).unwrap_or_default();
        let in_flight = self.in_flight();
        EndpointView {
            priority: 0,
            weight: 1.0,
            hash: self.hash,
            in_flight,
            tokens: live.tokens + live.past * fading(live.faded, now),
            ttft: live
                .ttft
                .map(|(average, seen)| if in_flight == 0 { average * fading(Some(seen), now) } else { average }),
            backlog: scraped.waiting / scraped.running.max(1.0),
            capacity: CAPACITY,
            ramp: self.ramp(now, ramp),
            cost: None,
        }
    }

    fn ramp(&self, now: Instant, ramp: Duration) -> f64 {
        let Some(since) = self.since else { return 1.0 };
        let age = now.saturating_duration_since(since).as_secs_f64() / ramp.as_secs_f64();
        age.clamp(FIRST_SHARE, 1.0)
    }
}

/// What is left of 1 after the time since `then`.
fn fading(then: Option<Instant>, now: Instant) -> f64 {
    let age = then.map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
    0.5_f64.powf(age.as_secs_f64() / HALF_LIFE.as_secs_f64())
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut live = self.endpoint.live.lock();
        live.tokens = (live.tokens - self.tokens).max(0.0);
        live.past = live.past * fading(live.faded, now) + self.tokens;
        live.faded = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAMP: Duration = Duration::from_secs(30);

    fn endpoint(since: Option<Instant>) -> Arc<Endpoint> {
        Arc::new(Endpoint::new("http://10.0.0.1:8000/v1".parse().unwrap(), since))
    }

    #[tokio::test(start_paused = true)]
    async fn load_is_what_runs_and_a_fading_memory() {
        let endpoint = endpoint(None);

        let call = endpoint.begin(100.0);
        let busy = endpoint.view(Instant::now(), RAMP);
        drop(call);
        let idle = endpoint.view(Instant::now() + HALF_LIFE, RAMP);

        assert_eq!((busy.in_flight, busy.tokens), (1, 100.0));
        assert_eq!((idle.in_flight, idle.tokens), (0, 50.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_endpoint_that_nobody_asks_is_tried_again_in_the_end() {
        let endpoint = endpoint(None);
        let now = Instant::now();

        endpoint.saw_first_token(Duration::from_secs(8), now);

        assert_eq!(endpoint.view(now, RAMP).ttft, Some(8.0));
        assert_eq!(endpoint.view(now + HALF_LIFE * 3, RAMP).ttft, Some(1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_came_later_is_ramped_up() {
        let now = Instant::now();
        let fresh = endpoint(Some(now));

        let shares = [0, 15, 60].map(|secs| fresh.view(now + Duration::from_secs(secs), RAMP).ramp);

        assert_eq!(shares, [FIRST_SHARE, 0.5, 1.0]);
        assert_eq!(endpoint(None).view(now, RAMP).ramp, 1.0);
    }

    #[test]
    fn an_endpoint_is_named_by_host_and_port() {
        assert_eq!(endpoint(None).name, "10.0.0.1:8000");
    }
}
