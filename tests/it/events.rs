//! Usage events on the real emulator of Pub/Sub: of requests and of lines, through crashes and outages, none lost.

use e2e::{
    Database, Process, Site, chat_lines, eventually,
    pubsub::{Emulator, TOPIC},
};
use serde_json::{Value, json};
use servers::Reserved;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};
use store::{OutboxState, UsageQuery};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Every event by its id, with how often it came.
type Heard = BTreeMap<String, (Value, usize)>;

async fn publishing_site(host: SocketAddr) -> Site {
    let host = host.to_string();
    Site::new(Database::Postgres, 0.0).await.with_environment(&[
        ("PUBSUB_EMULATOR_HOST", &host),
        ("TANDEM__EVENTS__USAGE_TOPIC", TOPIC),
        ("TANDEM__EVENTS__POLL_MS", "100"),
    ])
}

/// So short that a test need not wait long for what a dead or failing process held.
const SHORT_HOLD: (&str, &str) = ("TANDEM__EVENTS__HOLD_MS", "2000");

async fn ask(site: &Site, process: &Process, times: usize) {
    let request = json!({"model": "tandem-sim", "max_tokens": 3, "messages": [{"role": "user", "content": "Hello"}]});
    for _ in 0..times {
        let (status, answer) = site.ask(process, "/v1/chat/completions", &request).await;
        assert_eq!(status, 200, "{answer}");
    }
}

/// Takes what comes until `enough`.
async fn hear(emulator: &Emulator, heard: &mut Heard, enough: impl Fn(&Heard) -> bool) -> bool {
    eventually(LIMIT, async || {
        for event in emulator.take().await {
            let id = event["event_id"].as_str().unwrap().to_owned();
            heard.entry(id).and_modify(|(_, times)| *times += 1).or_insert((event, 1));
        }
        enough(heard)
    })
    .await
}

/// Passes connections on, like a network that works again.
async fn forward(from: SocketAddr, to: SocketAddr) -> JoinHandle<()> {
    let listener = TcpListener::bind(from).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    })
}

async fn outbox_empties(site: &Site) -> bool {
    eventually(LIMIT, async || site.store.outbox_state().await.unwrap() == OutboxState::default()).await
}

async fn records(site: &Site) -> i64 {
    let rows = site.store.usage(&UsageQuery { to_ms: i64::MAX, ..UsageQuery::default() }).await.unwrap();
    rows[0].requests
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_lines_of_batches_are_published_and_leave_the_outbox() {
    let Some(emulator) = Emulator::start_anywhere().await else { return };
    let site = publishing_site(emulator.host).await;
    let services = site.start_services().await;

    ask(&site, &services.gateway, 3).await;
    let batch = site.submit(&services.gateway, chat_lines(20, 2)).await;
    let mut heard = Heard::new();
    let all = hear(&emulator, &mut heard, |heard| heard.len() == 23).await;

    assert!(all, "{} events\n{}", heard.len(), site.log());
    assert_eq!(records(&site).await, 23);
    let lines = heard.values().filter(|(event, _)| event["batch_id"] == batch.as_str()).count();
    let classes: BTreeSet<_> = heard.values().map(|(event, _)| event["class"].as_str().unwrap()).collect();
    assert_eq!((lines, classes), (20, BTreeSet::from(["batch", "interactive"])));
    assert!(outbox_empties(&site).await);
    assert!(heard.values().all(|(event, times)| event["tenant_id"] == site.tenant.as_str() && *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_between_publishing_and_acknowledging_publishes_again_under_the_same_id() {
    let Some(emulator) = Emulator::start_anywhere().await else { return };
    let site = publishing_site(emulator.host).await.with_environment(&[SHORT_HOLD]);
    let first = site.start().await;
    let mut heard = Heard::new();

    site.execute(
        "create function refuse() returns trigger as $$ begin raise 'not yet'; end $$ language plpgsql; \
         create trigger refuse before delete on usage_outbox for each row execute function refuse()",
    );
    ask(&site, &first, 5).await;
    let once = hear(&emulator, &mut heard, |heard| heard.len() == 5).await;
    first.kill();
    site.execute("drop trigger refuse on usage_outbox");
    let second = site.start().await;
    ask(&site, &second, 1).await;
    let again = hear(&emulator, &mut heard, |heard| heard.len() == 6).await
        && hear(&emulator, &mut heard, |heard| heard.values().filter(|(_, times)| *times > 1).count() == 5).await;

    assert!(once && again, "{heard:?}\n{}", site.log());
    assert!(outbox_empties(&site).await, "{}", site.log());
    assert_eq!(records(&site).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_seen_and_loses_nothing_with_two_gateways() {
    let Some(emulator) = Emulator::start_anywhere().await else { return };
    let cut = Reserved::address();
    let site = publishing_site(*cut).await.with_environment(&[SHORT_HOLD]);
    let gateways = site.start_gateways(2).await;

    for gateway in &gateways {
        ask(&site, gateway, 20).await;
    }
    let seen = eventually(LIMIT, async || site.log().contains("usage events are not published")).await;
    let failed = "tandem_usage_events_failures_total";
    let counted = eventually(LIMIT, async || site.metrics(&gateways[0]).await.contains(failed)).await;
    let waiting = eventually(LIMIT, async || site.store.outbox_state().await.unwrap().waiting == 40).await;
    let _network = forward(*cut, emulator.host).await;
    let mut heard = Heard::new();
    let all = hear(&emulator, &mut heard, |heard| heard.len() == 40).await;

    assert!(seen && counted && waiting, "{}", site.log());
    assert!(all, "{} events\n{}", heard.len(), site.log());
    assert!(outbox_empties(&site).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_topic_refuses_stay_until_one_takes_them() {
    let Some(emulator) = Emulator::start_anywhere().await else { return };
    let picky = emulator.make_picky_topic().await;
    let site =
        publishing_site(emulator.host).await.with_environment(&[SHORT_HOLD, ("TANDEM__EVENTS__USAGE_TOPIC", picky)]);
    let process = site.start().await;

    ask(&site, &process, 3).await;
    let refused = eventually(LIMIT, async || site.log().contains("INVALID_ARGUMENT")).await;
    process.terminate().await;
    let site = site.with_environment(&[("TANDEM__EVENTS__USAGE_TOPIC", TOPIC)]);
    let _process = site.start().await;
    let mut heard = Heard::new();
    let all = hear(&emulator, &mut heard, |heard| heard.len() == 3).await;

    assert!(refused && all, "{heard:?}\n{}", site.log());
    assert!(outbox_empties(&site).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_published_before_a_process_ends() {
    let Some(emulator) = Emulator::start_anywhere().await else { return };
    let site = publishing_site(emulator.host).await.with_environment(&[("TANDEM__EVENTS__POLL_MS", "3600000")]);
    let process = site.start().await;

    ask(&site, &process, 5).await;
    let code = process.terminate().await;
    let mut heard = Heard::new();
    let all = hear(&emulator, &mut heard, |heard| heard.len() == 5).await;

    assert_eq!((code, site.store.outbox_state().await.unwrap()), (Some(0), OutboxState::default()), "{}", site.log());
    assert!(all, "{heard:?}\n{}", site.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_collected_where_no_topic_is_set() {
    let site = Site::new(Database::Sqlite, 0.0).await;
    let process = site.start().await;

    ask(&site, &process, 2).await;
    let written = eventually(LIMIT, async || records(&site).await == 2).await;

    assert!(written, "{}", site.log());
    assert_eq!(site.store.outbox_state().await.unwrap(), OutboxState::default());
}
