//! Batches whose workers are woken by a broker, or by nobody.

use e2e::{Database, Link, Process, Site, chat_lines, eventually, pubsub::Emulator};
use futures::FutureExt;
use lapin::{Connection, ConnectionProperties, options::QueueDeleteOptions};
use serde_json::Value;
use servers::Reserved;
use std::{panic::AssertUnwindSafe, time::Duration};

const LIMIT: Duration = Duration::from_secs(120);
const LINES: usize = 200;

/// The worker looks into the database once, and then no more: what it does it has heard of.
const DEAF_TO_THE_DATABASE: (&str, &str) = ("TANDEM__WORKER__POLL_MS", "600000");

/// A connection is given up after two seconds of silence.
const HASTY: (&str, &str) = ("TANDEM__DOORBELL__RABBITMQ__HEARTBEAT_SECS", "1");

/// Settings of a doorbell on RabbitMQ.
struct Bell {
    url: String,
    queue: String,
}

impl Bell {
    fn at(url: String) -> Self {
        Self { url, queue: format!("tandem.e2e.{}", domain::RequestId::generate()) }
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        vec![
            ("TANDEM__DOORBELL__KIND", "rabbitmq"),
            ("TANDEM__DOORBELL__RABBITMQ__URLS", &self.url),
            ("TANDEM__DOORBELL__RABBITMQ__QUEUE", &self.queue),
        ]
    }

    /// Runs `test` and removes the queues.
    async fn during(self, test: impl AsyncFnOnce(&Self)) {
        let outcome = AssertUnwindSafe(test(&self)).catch_unwind().await;
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        for queue in [format!("{}.dead", self.queue), self.queue] {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        outcome.unwrap();
    }
}

fn server() -> String {
    let named = std::env::var_os("RABBITMQ_URL").and_then(|url| url.into_string().ok());
    named.unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672".to_owned())
}

async fn completes(site: &Site, gateway: &Process) {
    let batch = format!("/v1/batches/{}", site.submit(gateway, chat_lines(LINES, 2)).await);
    let mut last = Value::Null;
    let completed = eventually(LIMIT, async || {
        last = site.try_get(gateway, &batch).await.unwrap_or_default();
        last["status"] == "completed"
    });
    assert!(completed.await, "{last}\n{}", site.log());
    assert_eq!(last["request_counts"]["completed"], LINES);
    let output = site.content(gateway, last["output_file_id"].as_str().unwrap()).await;
    assert_eq!(output.lines().count(), LINES);
}

/// Settings of a doorbell on the emulator at `host`; the first process makes topic and subscription.
fn on_pubsub(host: &str) -> Vec<(&str, &str)> {
    vec![
        ("TANDEM__DOORBELL__KIND", "pubsub"),
        ("TANDEM__DOORBELL__PUBSUB__PROJECT", "tandem-test"),
        ("TANDEM__DOORBELL__PUBSUB__ENDPOINT", host),
        ("TANDEM__DOORBELL__PUBSUB__CREATE", "true"),
    ]
}

/// The sum of a metric of the broker's doorbell over processes.
async fn sum(site: &Site, metric: &str, processes: &[&Process]) -> f64 {
    let mut sum = 0.0;
    for process in processes {
        let metrics = site.metrics(process).await;
        let of_bell = metrics.lines().filter(|line| {
            line.starts_with(metric) && ["\"rabbitmq\"", "\"pubsub\""].iter().any(|kind| line.contains(kind))
        });
        sum += of_bell.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum::<f64>();
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_wakes_workers_that_do_not_poll() {
    Bell::at(server())
        .during(async |bell| {
            let site = Site::new(Database::Postgres, 0.0).await;
            let gateway = site.start_gateways_with(1, &bell.settings()).await.remove(0);
            let settings = [bell.settings(), vec![DEAF_TO_THE_DATABASE]].concat();
            let workers = [site.start_worker_with(&settings), site.start_worker_with(&settings)];

            completes(&site, &gateway).await;

            let heard = sum(&site, "tandem_doorbell_deliveries_total", &[&workers[0], &workers[1]]).await;
            let rung = sum(&site, "tandem_doorbell_rings_total", &[&gateway]).await;
            println!("{LINES} lines over RabbitMQ: {heard} pointers heard, {rung} rung by the gateway");
            assert!(heard >= 3.0 && rung >= 1.0, "{heard} heard, {rung} rung\n{}", site.log());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_falls_silent_is_noticed_and_so_is_its_return() {
    Bell::at(server())
        .during(async |bell| {
            let (user, host) = bell.url.rsplit_once('@').unwrap();
            let link = Link::to(host.trim_end_matches('/').to_owned()).await;
            let behind = Bell { url: format!("{user}@{}", link.address()), queue: bell.queue.clone() };
            let settings = [behind.settings(), vec![HASTY]].concat();
            let site = Site::new(Database::Postgres, 0.0).await;
            let gateway = site.start_gateways_with(1, &settings).await.remove(0);
            let worker = site.start_worker_with(&[settings, vec![DEAF_TO_THE_DATABASE]].concat());
            let connected = async || sum(&site, "tandem_doorbell_connected", &[&gateway, &worker]).await;
            completes(&site, &gateway).await;

            link.fall_silent();
            let noticed = eventually(LIMIT, async || connected().await == 0.0);
            assert!(noticed.await, "{}", site.log());
            link.restore();
            // Both ring, one listens.
            let back = eventually(LIMIT, async || connected().await == 3.0);
            assert!(back.await, "{}", site.log());

            completes(&site, &gateway).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_broker_a_batch_completes_too() {
    let nowhere = Reserved::address();
    let bell = Bell::at(format!("amqp://guest:guest@{nowhere}"));
    let site = Site::new(Database::Postgres, 0.0).await;
    let gateway = site.start_gateways_with(1, &bell.settings()).await.remove(0);
    let workers = [site.start_worker_with(&bell.settings()), site.start_worker_with(&bell.settings())];

    completes(&site, &gateway).await;

    let connected = sum(&site, "tandem_doorbell_connected", &[&gateway, &workers[0], &workers[1]]).await;
    let losses = site.log().matches("the broker is lost").count();
    assert_eq!(connected, 0.0);
    // One for each side: the gateway only rings.
    assert!((1..=5).contains(&losses), "{losses}\n{}", site.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_on_another_doorbell_completes_the_batch_of_a_gateway_that_was_switched() {
    Bell::at(server())
        .during(async |bell| {
            let site = Site::new(Database::Postgres, 0.0).await;
            let gateway = site.start_gateways_with(1, &bell.settings()).await.remove(0);
            let _worker = site.start_worker_with(&[]);

            completes(&site, &gateway).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pubsub_wakes_workers_that_do_not_poll() {
    let Some(emulator) = Emulator::start_anywhere().await else { return };
    let host = emulator.host.to_string();
    let site = Site::new(Database::Postgres, 0.0).await;
    let gateway = site.start_gateways_with(1, &on_pubsub(&host)).await.remove(0);
    let settings = [on_pubsub(&host), vec![DEAF_TO_THE_DATABASE]].concat();
    let workers = [site.start_worker_with(&settings), site.start_worker_with(&settings)];

    completes(&site, &gateway).await;

    let heard = sum(&site, "tandem_doorbell_deliveries_total", &[&workers[0], &workers[1]]).await;
    let rung = sum(&site, "tandem_doorbell_rings_total", &[&gateway]).await;
    println!("{LINES} lines over Pub/Sub: {heard} pointers heard, {rung} rung by the gateway");
    assert!(heard >= 3.0 && rung >= 1.0, "{heard} heard, {rung} rung\n{}", site.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pubsub_that_falls_silent_is_noticed_and_so_is_its_return() {
    let Some(emulator) = Emulator::start_anywhere().await else { return };
    let link = Link::to(emulator.host.to_string()).await;
    let behind = link.address().to_string();
    let site = Site::new(Database::Postgres, 0.0).await;
    let gateway = site.start_gateways_with(1, &on_pubsub(&behind)).await.remove(0);
    let worker = site.start_worker_with(&on_pubsub(&behind));
    let connected = async || sum(&site, "tandem_doorbell_connected", &[&gateway, &worker]).await;
    completes(&site, &gateway).await;

    link.fall_silent();
    let noticed = eventually(LIMIT, async || connected().await == 0.0);
    assert!(noticed.await, "{}", site.log());
    link.restore();
    // Both ring, one listens.
    let back = eventually(LIMIT, async || connected().await == 3.0);
    assert!(back.await, "{}", site.log());

    completes(&site, &gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_are_switched_while_batches_come() {
    let Some(emulator) = Emulator::start_anywhere().await else { return };
    let host = emulator.host.to_string();
    Bell::at(server())
        .during(async |bell| {
            let site = Site::new(Database::Postgres, 0.0).await;
            let old = site.start_gateways_with(1, &bell.settings()).await.remove(0);
            let worker = site.start_worker_with(&bell.settings());
            completes(&site, &old).await;

            // First the gateway, and then the worker: in between they don't hear each other.
            let new = site.start_gateways_with(1, &on_pubsub(&host)).await.remove(0);
            drop(old);
            completes(&site, &new).await;
            drop(worker);
            let worker = site.start_worker_with(&on_pubsub(&host));
            completes(&site, &new).await;

            assert!(sum(&site, "tandem_doorbell_deliveries_total", &[&worker]).await >= 1.0, "{}", site.log());
        })
        .await;
}
