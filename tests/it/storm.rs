//! Many requests at once from callers of whom some leave, and what is counted of them afterwards.

use e2e::{Process, Site, eventually};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use store::{LimitState, UsageQuery, UsageRow};

pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const AT_ONCE: usize = 128;
/// Of so many requests, one is left in the middle of its stream.
const LEAVES: usize = 5;

/// How requests ended, by status; 0 = no answer.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) ok: usize,
    pub(crate) limited: usize,
    pub(crate) other: Vec<u16>,
}

/// A short question.
pub(crate) fn question(_n: usize) -> Value {
    json!({"model": "tandem-sim", "max_tokens": 20, "messages": [{"role": "user", "content": "How much is left of my limit?"}]})
}

/// Sends one request and reads its answer, or leaves after the first piece of its stream. Gives the status; 0 = no answer.
pub(crate) async fn ask(site: &Site, gateway: &str, mut body: Value, leave: bool) -> u16 {
    body["stream"] = json!(leave);
    let client = site.client();
    let request = client.post(format!("{gateway}/v1/chat/completions")).bearer_auth(&site.key).json(&body);
    let Ok(mut response) = request.send().await else { return 0 };
    let status = response.status().as_u16();
    let read = if leave { response.chunk().await.map(drop) } else { response.bytes().await.map(drop) };
    if read.is_ok() { status } else { 0 }
}

/// Many requests at once.
pub(crate) struct Storm {
    pub(crate) count: usize,
    /// Makes the body of a request from its number.
    pub(crate) ask: fn(usize) -> Value,
    /// Whether some callers leave.
    pub(crate) leaves: bool,
}

impl Storm {
    /// `count` short questions.
    pub(crate) fn of(count: usize) -> Self {
        Self { count, ask: question, leaves: false }
    }

    /// The same, with callers who leave.
    pub(crate) fn with_leavers(self) -> Self {
        Self { leaves: true, ..self }
    }

    /// The same with other questions.
    pub(crate) fn asking(self, ask: fn(usize) -> Value) -> Self {
        Self { ask, ..self }
    }

    /// Sends the requests to the gateways in turns.
    pub(crate) async fn over(&self, site: &Site, gateways: &[Process]) -> Tally {
        self.watched(site, gateways, |_| {}).await
    }

    /// The same; `each` hears of every request that has ended.
    pub(crate) async fn watched(&self, site: &Site, gateways: &[Process], each: impl Fn(usize)) -> Tally {
        let ended = AtomicUsize::new(0);
        let urls: Vec<_> = gateways.iter().map(|gateway| gateway.url.as_str()).collect();
        let requests =
            (0..self.count).map(|n| ask(site, urls[n % urls.len()], (self.ask)(n), self.leaves && n % LEAVES == 0));
        let mut answers = stream::iter(requests).buffer_unordered(AT_ONCE);
        let mut tally = Tally::default();
        while let Some(status) = answers.next().await {
            tally.add(status);
            each(ended.fetch_add(1, Ordering::Relaxed) + 1);
        }
        tally
    }
}

impl Tally {
    pub(crate) fn add(&mut self, status: u16) {
        match status {
            200 => self.ok += 1,
            429 => self.limited += 1,
            other => self.other.push(other),
        }
    }
}

/// What the ledger holds, once it holds `count` records.
pub(crate) async fn ledger(site: &Site, count: usize) -> UsageRow {
    let query = UsageQuery { tenant: Some(site.tenant.clone()), to_ms: i64::MAX, ..UsageQuery::default() };
    let mut row = UsageRow::default();
    let full = eventually(SOON, async || {
        row = site.store.usage(&query).await.unwrap().pop().unwrap_or_default();
        row.requests >= count as i64
    });
    assert!(full.await, "{row:?}, not {count} requests\n{}", site.log());
    row
}

/// How the site's one limit stands now.
pub(crate) async fn standing(site: &Site) -> LimitState {
    let limit = site.store.all_limits().await.unwrap().remove(0);
    site.store.limit_state(&limit).await.unwrap()
}

/// The same, once nobody holds a lease of it.
pub(crate) async fn settled(site: &Site) -> LimitState {
    let mut state = LimitState::default();
    let idle = eventually(SOON, async || {
        state = standing(site).await;
        state.leased == 0
    });
    assert!(idle.await, "{state:?}\n{}", site.log());
    state
}
