//! Limits with several gateways on one database, thousands of requests at once, callers who leave and processes that are killed.
//! The model server counts what really arrived.

use crate::storm::{AT_ONCE, SOON, Storm, ask, ledger, question, settled, standing};
use domain::LimitKind;
use e2e::{Database, Site, eventually};
use futures::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use std::cell::Cell;
use store::LimitState;

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_never_admit_more_requests_than_the_limit() {
    let site = Site::new(Database::Postgres, 0.0).await;
    site.limit(LimitKind::RequestsPerMinute, 700).await;
    let gateways = site.start_gateways(2).await;

    let tally = Storm::of(3_000).with_leavers().over(&site, &gateways).await;

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

    let whole = Storm::of(2_000).over(&site, &gateways).await;
    let peak = site.simulator.stats().peak_running;
    let left = Storm::of(500).with_leavers().over(&site, &gateways).await;

    assert!(whole.other.is_empty() && left.other.is_empty(), "{}", site.log());
    assert!((2..=12).contains(&peak), "{peak} ran at once");
    assert!(whole.ok > 12, "slots come back");
    assert_eq!(settled(&site).await, LimitState::default(), "no slot is lost");
}

/// A question that reserves 8 tokens for its prompt and 60 for its answer, which is shorter: it stops at a word.
fn question_with_a_short_answer(n: usize) -> Value {
    json!({"model": "tandem-sim", "max_tokens": 60, "stop": [" amber", " island", " river"],
           "messages": [{"role": "user", "content": format!("Incomprehensibilities-{n:010}")}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_never_admit_more_tokens_than_the_limit_and_use_what_was_saved() {
    let (limit, reserves) = (20_000, 8 + 60);
    let site = Site::new(Database::Postgres, 0.0).await;
    site.limit(LimitKind::TokensPerMinute, limit).await;
    let gateways = site.start_gateways(2).await;
    let storm = Storm::of(4_000).asking(question_with_a_short_answer);

    let tally = storm.over(&site, &gateways).await;

    let tokens = site.simulator.stats().tokens;
    let recount = i64::try_from(tokens.prompt + tokens.generated).unwrap();
    assert!(tally.other.is_empty(), "{:?}\n{}", tally.other, site.log());
    assert_eq!(tally.ok as u64, site.simulator.stats().requests);
    assert_eq!(settled(&site).await, LimitState { used: recount, lost: 0, leased: 0 });
    assert!(recount <= limit, "{recount} of {limit} tokens");
    assert!(tally.limited > 0 && recount > limit * 9 / 10, "{recount}: {tally:?}");
    assert!(tally.ok as i64 > limit / reserves, "{tally:?}: what was saved is admitted again");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_gateways_lose_no_token_of_callers_who_leave() {
    let limit = 30_000;
    let site = Site::new(Database::Postgres, 2_000.0).await;
    site.limit(LimitKind::TokensPerMinute, limit).await;
    let gateways = site.start_gateways(4).await;
    let storm = Storm::of(3_000).asking(question_with_a_short_answer).with_leavers();

    let (mut most, has_ended) = (0, Cell::new(false));
    let watch = eventually(SOON * 10, async || {
        let state = standing(&site).await;
        most = most.max(state.used + state.leased);
        has_ended.get()
    });
    let storm = storm.over(&site, &gateways).inspect(|_| has_ended.set(true));
    let (tally, _) = tokio::join!(storm, watch);

    let row = ledger(&site, tally.ok).await;
    let charged = i64::try_from(row.usage.input + row.usage.output).unwrap();
    assert!(tally.other.is_empty(), "{:?}\n{}", tally.other, site.log());
    assert_eq!((tally.ok as i64, tally.ok as u64), (row.requests, site.simulator.stats().requests));
    assert_eq!(settled(&site).await, LimitState { used: charged, lost: 0, leased: 0 });
    assert!(most <= limit, "{most} of {limit} were used or held at once");
    assert!(charged <= limit && charged > limit * 9 / 10, "{charged} of {limit} tokens: {tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_never_passed_and_the_ledger_says_the_same() {
    let site = Site::new(Database::Postgres, 0.0).await;
    let budget = 50_000_000;
    site.limit(LimitKind::UsdTotal, budget).await;
    let gateways = site.start_gateways(2).await;

    let tally = Storm::of(2_000).over(&site, &gateways).await;

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
        let requests = (0..400).map(|_| ask(&site, &victim_url, question(0), false));
        stream::iter(requests).buffer_unordered(AT_ONCE).count().await
    };
    // Nobody leaves: what a model makes beyond what was delivered is not paid, and would not be in the recount.
    let storm = Storm::of(1_500);
    let storm = storm.watched(&site, &gateways, |ended| {
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
    let state = standing(&site).await;
    assert!(recount <= budget, "{recount} of {budget} nano-USD");
    assert!(state.used + state.leased <= budget, "{state:?}");
    assert!(row.cost.nanos() <= state.used + state.leased, "{row:?} {state:?}");
}
