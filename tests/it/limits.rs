//! Limits with several gateways on one database, thousands of requests at once, callers who leave and processes that are killed.
//! The model server counts what really arrived.

use domain::LimitKind;
use e2e::{Database, Process, Site, eventually};
use futures::{StreamExt, stream};
use serde_json::json;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use store::{LimitState, UsageQuery, UsageRow};

const SOON: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 128;
/// Of so many requests, one is left in the middle of its stream.
const LEAVES: usize = 5;

/// How requests ended, by status; 0 = no answer.
#[derive(Debug, Default)]
struct Tally {
    ok: usize,
    limited: usize,
    other: Vec<u16>,
}

async fn ask(site: &Site, gateway: &str, leave: bool) -> u16 {
    let body = json!({"model": "tandem-sim", "max_tokens": 20, "stream": leave,
                      "messages": [{"role": "user", "content": "How much is left of my limit?"}]});
    let client = site.client();
    let request = client.post(format!("{gateway}/v1/chat/completions")).bearer_auth(&site.key).json(&body);
    let Ok(mut response) = request.send().await else { return 0 };
    let status = response.status().as_u16();
    let read = if leave { response.chunk().await.map(drop) } else { response.bytes().await.map(drop) };
    if read.is_ok() { status } else { 0 }
}

/// Sends `count` requests to the gateways in turns; `each` hears of every one that has ended.
async fn storm(site: &Site, gateways: &[Process], count: usize, leaves: bool, each: impl Fn(usize)) -> Tally {
    let ended = AtomicUsize::new(0);
    let urls: Vec<_> = gateways.iter().map(|gateway| gateway.url.as_str()).collect();
    let requests = (0..count).map(|n| ask(site, urls[n % urls.len()], leaves && n % LEAVES == 0));
    let mut answers = stream::iter(requests).buffer_unordered(AT_ONCE);
    let mut tally = Tally::default();
    while let Some(status) = answers.next().await {
        match status {
            200 => tally.ok += 1,
            429 => tally.limited += 1,
            other => tally.other.push(other),
        }
        each(ended.fetch_add(1, Ordering::Relaxed) + 1);
    }
    tally
}

/// What the ledger holds, once it holds `count` records.
async fn ledger(site: &Site, count: usize) -> UsageRow {
    let query = UsageQuery { tenant: Some(site.tenant.clone()), to_ms: i64::MAX, ..UsageQuery::default() };
    let mut row = UsageRow::default();
    let full = eventually(SOON, async || {
        row = site.store.usage(&query).await.unwrap().pop().unwrap_or_default();
        row.requests >= count as i64
    });
    assert!(full.await, "{row:?}, not {count} requests\n{}", site.log());
    row
}

/// How the site's one limit stands, once nobody holds a lease of it.
async fn settled(site: &Site) -> LimitState {
    let limit = site.store.all_limits().await.unwrap().remove(0);
    let mut state = LimitState::default();
    let idle = eventually(SOON, async || {
        state = site.store.limit_state(&limit).await.unwrap();
        state.leased == 0
    });
    assert!(idle.await, "{state:?}\n{}", site.log());
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_never_admit_more_requests_than_the_limit() {
    let site = Site::new(Database::Postgres, 0.0).await;
    site.limit(LimitKind::RequestsPerMinute, 700).await;
    let gateways = site.start_gateways(2).await;

    let tally = storm(&site, &gateways, 3_000, true, |_| {}).await;

    assert!(tally.other.is_empty(), "{:?}\n{}", tally.other, site.log());
    assert_eq!(tally.ok as u64, site.simulator.stats().requests);
    assert!((650..=700).contains(&tally.ok), "{} of 700 were admitted", tally.ok);
    assert_eq!(settled(&site).await, LimitState { used: tally.ok as i64, lost: 0, leased: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn four_gateways_never_run_more_at_once_than_the_limit_and_lose_no_slot() {
    let site = Site::new(Database::Postgres, 2_000.0).await;
    site.limit(LimitKind::ConcurrentRequests, 12).await;
    let gateways = site.start_gateways(4).await;

    let whole = storm(&site, &gateways, 2_000, false, |_| {}).await;
    let peak = site.simulator.stats().peak_running;
    let left = storm(&site, &gateways, 500, true, |_| {}).await;

    assert!(whole.other.is_empty() && left.other.is_empty(), "{}", site.log());
    assert!((2..=12).contains(&peak), "{peak} ran at once");
    assert!(whole.ok > 12, "slots come back");
    assert_eq!(settled(&site).await, LimitState::default(), "no slot is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_never_passed_and_the_ledger_says_the_same() {
    let site = Site::new(Database::Postgres, 0.0).await;
    let budget = 50_000_000;
    site.limit(LimitKind::UsdTotal, budget).await;
    let gateways = site.start_gateways(2).await;

    let tally = storm(&site, &gateways, 2_000, false, |_| {}).await;

    let (state, tokens) = (settled(&site).await, site.simulator.stats().tokens);
    let row = ledger(&site, tally.ok).await;
    assert!(tally.other.is_empty(), "{:?}\n{}", tally.other, site.log());
    let recount = i64::try_from(tokens.prompt * 1_000 + tokens.generated * 10_000).unwrap();
    assert_eq!((row.usage.input, row.usage.output), (tokens.prompt, tokens.generated));
    assert_eq!([state.used, row.cost.nanos(), state.lost], [recount, recount, 0]);
    assert!(recount <= budget, "{recount} of {budget} nano-USD");
    assert!(recount > budget * 9 / 10, "{recount}: leases that lie idle cost little");
    assert!(tally.limited > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_takes_its_lease_along_and_no_budget_is_passed() {
    let site = Site::new(Database::Postgres, 400.0).await;
    let budget = 300_000_000;
    site.limit(LimitKind::UsdTotal, budget).await;
    let mut gateways = site.start_gateways(4).await;
    let victim = gateways.pop().unwrap();
    let (victim_url, victim) = (victim.url.clone(), std::sync::Mutex::new(Some(victim)));

    let doomed = async {
        let requests = (0..400).map(|_| ask(&site, &victim_url, false));
        stream::iter(requests).buffer_unordered(AT_ONCE).count().await
    };
    let storm = storm(&site, &gateways, 1_500, true, |ended| {
        if ended == 300
            && let Some(victim) = victim.lock().unwrap().take()
        {
            victim.kill();
        }
    });
    let (_, tally) = tokio::join!(doomed, storm);

    let row = ledger(&site, tally.ok).await;
    let tokens = site.simulator.stats().tokens;
    let recount = i64::try_from(tokens.prompt * 1_000 + tokens.generated * 10_000).unwrap();
    let limit = site.store.all_limits().await.unwrap().remove(0);
    let state = site.store.limit_state(&limit).await.unwrap();
    assert!(recount <= budget, "{recount} of {budget} nano-USD");
    assert!(state.used + state.leased <= budget, "{state:?}");
    assert!(row.cost.nanos() <= state.used + state.leased, "{row:?} {state:?}");
}
