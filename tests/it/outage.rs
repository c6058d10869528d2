//! The database goes away from a gateway, and comes back.

use crate::storm::{SOON, Storm, ask, ledger, question, settled, standing};
use domain::LimitKind;
use e2e::{Database, Link, Process, Site, eventually};
use serde_json::Value;
use store::LimitState;

/// A dollar: 1 % of it, which an idle gateway holds for a while, pays for some requests.
const DOLLAR: i64 = 1_000_000_000;
/// PostgreSQL's message that all of a `COPY` was sent; the record is there once it has arrived.
const COPY_DONE: &str = "c\0\0\0\u{4}";

/// A gateway behind a link to the database, with short leases.
async fn behind_a_link(site: &Site, more: &[(&str, &str)]) -> (Link, Process) {
    let (link, url) = site.link_to_database().await;
    let settings = [
        ("TANDEM__DATA__DATABASE_URL", url.as_str()),
        ("TANDEM__GATEWAY__LIMITS__LEASE_MS", "2000"),
        ("TANDEM__GATEWAY__LIMITS__WAIT_MS", "1000"),
    ];
    let settings: Vec<_> = settings.iter().chain(more).copied().collect();
    (link, site.start_gateways_with(1, &settings).await.remove(0))
}

async fn ask_shortly(site: &Site, gateway: &Process) -> u16 {
    ask(site, &gateway.url, question(0), false).await
}

/// What the model server's tokens cost, in nano-USD.
fn recount(site: &Site) -> i64 {
    let tokens = site.simulator.stats().tokens;
    i64::try_from(tokens.prompt * 1_000 + tokens.generated * 10_000).unwrap()
}

/// Nothing that was used is missing, neither from the limit nor from the ledger.
async fn assert_all_is_booked(site: &Site, answered: usize) {
    let row = ledger(site, answered).await;
    let recount = recount(site);
    assert_eq!((row.requests, row.cost.nanos()), (answered as i64, recount), "{row:?}");
    assert_eq!(settled(site).await, LimitState { used: recount, lost: 0, leased: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_a_gateway_lives_on_its_leases_then_refuses_and_recovers_by_itself() {
    let site = Site::new(Database::Postgres, 0.0).await;
    site.limit(LimitKind::UsdTotal, DOLLAR).await;
    let (link, gateway) = behind_a_link(&site, &[]).await;
    let mut answered = Storm::of(200).over(&site, std::slice::from_ref(&gateway)).await.ok;

    link.cut();
    let before = answered;
    let refused = loop {
        match ask_shortly(&site, &gateway).await {
            200 => answered += 1,
            other => break other,
        }
    };

    let held = standing(&site).await;
    let (_, refusal) = site.ask(&gateway, "/v1/chat/completions", &question(0)).await;
    let refusal: Value = serde_json::from_str(&refusal).unwrap();
    let metrics = site.metrics(&gateway).await;
    assert!(answered > before, "it goes on with what it holds");
    assert!(recount(&site) <= held.used + held.leased, "{held:?}, and no more than that");
    assert_eq!((refused, &refusal["error"]["code"]), (503, &Value::from("limits_unavailable")), "{refusal}");
    for metric in ["tandem_limits_store_failures_total", "tandem_limits_unknown_total"] {
        assert!(metrics.contains(metric), "{metrics}");
    }
    assert!(site.log().contains("limits can't be exchanged with the database"), "{}", site.log());

    link.restore();
    let back = eventually(SOON, async || ask_shortly(&site, &gateway).await == 200);
    assert!(back.await, "{}", site.log());
    assert!(site.log().contains("limits are exchanged with the database again"), "{}", site.log());
    assert_all_is_booked(&site, answered + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_is_noticed_and_forgotten() {
    let site = Site::new(Database::Postgres, 0.0).await;
    site.limit(LimitKind::UsdTotal, DOLLAR).await;
    let (link, gateway) = behind_a_link(&site, &[]).await;
    let mut answered = Storm::of(200).over(&site, std::slice::from_ref(&gateway)).await.ok;

    link.fall_silent();
    let refused = loop {
        match ask_shortly(&site, &gateway).await {
            200 => answered += 1,
            other => break other,
        }
    };
    link.restore();
    let back = eventually(SOON, async || ask_shortly(&site, &gateway).await == 200);

    assert_eq!((refused, back.await), (503, true), "{}", site.log());
    assert_all_is_booked(&site, answered + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_falls_silent_in_the_middle_of_an_exchange_does_not_hold_up_others() {
    let site = Site::new(Database::Postgres, 0.0).await;
    site.limit(LimitKind::UsdTotal, DOLLAR).await;
    let (link, lonely) = behind_a_link(&site, &[]).await;
    let other = site.start_gateways(1).await.remove(0);

    // By then it has locked the limit.
    link.fall_silent_at("FROM limit_leases");
    let alone = ask_shortly(&site, &lonely).await;
    link.silence().await;
    let served = eventually(SOON, async || ask_shortly(&site, &other).await == 200);

    assert_eq!((alone, served.await), (503, true), "{}", site.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_writing_was_never_heard_is_written_again() {
    let site = Site::new(Database::Postgres, 0.0).await;
    site.limit(LimitKind::UsdTotal, DOLLAR).await;
    let (link, gateway) = behind_a_link(&site, &[]).await;

    link.fall_silent_at("COPY usage_records");
    let asked = ask_shortly(&site, &gateway).await;
    link.silence().await;
    link.restore();

    assert_eq!(asked, 200);
    assert_all_is_booked(&site, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_writing_was_never_answered_is_written_once() {
    let site = Site::new(Database::Postgres, 0.0).await;
    site.limit(LimitKind::UsdTotal, DOLLAR).await;
    let (link, gateway) = behind_a_link(&site, &[]).await;

    link.lose_the_answer_to(COPY_DONE);
    let asked = ask_shortly(&site, &gateway).await;
    link.silence().await;
    link.restore();

    assert_eq!(asked, 200);
    assert_all_is_booked(&site, 1).await;
    let said = eventually(SOON, async || site.log().contains("usage not written yet"));
    assert!(said.await, "it was written again: {}", site.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_shall_admit_without_the_database_does_and_books_it_later() {
    let site = Site::new(Database::Postgres, 0.0).await;
    let budget = DOLLAR / 100;
    site.limit(LimitKind::UsdTotal, budget).await;
    let admit = ("TANDEM__GATEWAY__LIMITS__WHEN_STORE_IS_DOWN", "admit");
    let (link, gateway) = behind_a_link(&site, &[admit]).await;
    let first = ask_shortly(&site, &gateway).await;

    link.cut();
    let known = eventually(SOON, async || site.log().contains("limits can't be exchanged with the database"));
    assert!(known.await, "{}", site.log());
    let blind = Storm::of(200).over(&site, std::slice::from_ref(&gateway)).await;
    link.restore();

    assert_eq!((first, blind.ok), (200, 200), "{blind:?}\n{}", site.log());
    assert_all_is_booked(&site, 201).await;
    assert!(recount(&site) > budget, "more than the database would have allowed");
    assert_eq!(ask_shortly(&site, &gateway).await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_comes_back_takes_nothing_that_others_have_got_meanwhile() {
    let site = Site::new(Database::Postgres, 0.0).await;
    let budget = DOLLAR / 10;
    site.limit(LimitKind::UsdTotal, budget).await;
    let (link, lonely) = behind_a_link(&site, &[]).await;
    let mut gateways = site.start_gateways(1).await;
    gateways.push(lonely);

    let storm = Storm::of(1_500);
    let tally = storm.watched(&site, &gateways, |ended| match ended {
        200 => link.cut(),
        1_200 => link.restore(),
        _ => {}
    });
    let tally = tally.await;

    assert!(tally.other.len() > 100 && tally.other.iter().all(|status| *status == 503), "{tally:?}");
    assert!(recount(&site) <= budget, "{} of {budget} nano-USD", recount(&site));
    assert_all_is_booked(&site, tally.ok).await;
}
