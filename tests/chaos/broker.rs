//! What happens to the broker: none of it changes more than when work begins.

use crate::{
    cluster::{Cluster, LINES, PACE, Seen},
    rows,
};
use e2e::{Database, Link, Site, eventually};
use servers::{Broker, Emulator};
use std::time::Duration;
use tokio::time::sleep;

/// A connection is given up after two seconds of silence.
const HASTY: (&str, &str) = ("TANDEM__DOORBELL__RABBITMQ__HEARTBEAT_SECS", "1");

/// A batch whose last line is answered after the fault at the latest.
const LONG: usize = 10_000;

rows! {
    the_broker_restarts, "RabbitMQ is stopped and started again", "doorbells come back by themselves", "37, 38";
    the_broker_is_killed, "RabbitMQ is killed with SIGKILL and started again", "what was lost with it is rung again", "39, 45";
    the_broker_is_away_for_a_minute, "there is no RabbitMQ for a minute, in which a batch ends and another begins", "workers poll", "40, 41";
    the_broker_takes_nothing, "RabbitMQ is short of memory for 20 s", "rings end in time; workers poll", "42";
    the_broker_falls_silent, "packets to RabbitMQ are dropped for 20 s", "the silence is noticed; workers poll", "43, 44";
    the_way_to_the_broker_is_slow, "what workers say to RabbitMQ arrives half a second late, for 20 s", "work begins later, and nothing else", "43, 48";
    pubsub_is_killed, "the Pub/Sub emulator is killed, and comes back without topics and messages", "they are made again; workers poll meanwhile", "46, 50";
}

/// The services on a RabbitMQ of their own that is reached at `address`.
async fn on_rabbitmq(address: &str) -> Cluster {
    let url = format!("amqp://guest:guest@{address}");
    let settings = [("TANDEM__DOORBELL__KIND", "rabbitmq"), ("TANDEM__DOORBELL__RABBITMQ__URLS", &url), HASTY];
    on(&settings).await
}

async fn on(doorbell: &[(&str, &str)]) -> Cluster {
    let site = Site::new(Database::Postgres, PACE).await.with_environment(doorbell);
    let upstream = format!("{}/v1", site.upstream_root());
    Cluster::on(site, &upstream, &[&[], &[], &[]], "").await
}

fn rabbitmq() -> Broker {
    Broker::start_anywhere().expect("RabbitMQ: sudo apt-get install rabbitmq-server")
}

/// Waits until every worker hears its broker, or until none does.
async fn until_connected(cluster: &Cluster, is_connected: bool) {
    let value = if is_connected { " 1" } else { " 0" };
    for worker in &cluster.workers {
        let is_so = async || {
            let page = cluster.site.metrics(worker).await;
            let mut sides = page.lines().filter(|line| line.starts_with("tandem_doorbell_connected"));
            sides.any(|line| line.contains("listen") && line.ends_with(value))
        };
        assert!(eventually(Duration::from_secs(60), is_so).await, "{}", cluster.site.log());
    }
}

async fn the_broker_restarts() -> Seen {
    let mut broker = rabbitmq();
    let cluster = on_rabbitmq(&broker.address()).await.submit(LONG).await;

    broker.stop();
    broker.start();

    until_connected(&cluster, true).await;
    cluster.completed().await
}

async fn the_broker_is_killed() -> Seen {
    let mut broker = rabbitmq();
    let cluster = on_rabbitmq(&broker.address()).await.submit(LONG).await;

    broker.kill();
    broker.start();

    until_connected(&cluster, true).await;
    cluster.completed().await
}

async fn the_broker_is_away_for_a_minute() -> Seen {
    let mut broker = rabbitmq();
    let cluster = on_rabbitmq(&broker.address()).await.submit(LINES).await;

    broker.stop();
    until_connected(&cluster, false).await;
    cluster.completed().await;
    let cluster = cluster.submit(LINES).await;
    sleep(Duration::from_secs(60)).await;
    broker.start();

    until_connected(&cluster, true).await;
    Seen { lines: 2 * LINES, ..cluster.completed().await }
}

async fn the_broker_takes_nothing() -> Seen {
    let broker = rabbitmq();
    let cluster = on_rabbitmq(&broker.address()).await.submit(LONG).await;

    broker.starve();
    sleep(Duration::from_secs(20)).await;
    broker.feed();

    cluster.completed().await
}

async fn the_broker_falls_silent() -> Seen {
    let broker = rabbitmq();
    let link = Link::to(broker.address()).await;
    let cluster = on_rabbitmq(&link.address().to_string()).await.submit(LONG).await;

    link.fall_silent();
    until_connected(&cluster, false).await;
    sleep(Duration::from_secs(20)).await;
    link.restore();

    until_connected(&cluster, true).await;
    cluster.completed().await
}

async fn the_way_to_the_broker_is_slow() -> Seen {
    let broker = rabbitmq();
    let link = Link::to(broker.address()).await;
    let cluster = on_rabbitmq(&link.address().to_string()).await.submit(LONG).await;

    link.slow_down(Duration::from_millis(500));
    sleep(Duration::from_secs(20)).await;
    link.restore();

    let seen = cluster.completed().await;
    assert_eq!(seen.asked, LONG as u64, "nobody lost a lease");
    seen
}

async fn pubsub_is_killed() -> Seen {
    let mut emulator = Emulator::start_anywhere().expect("the Pub/Sub emulator of gcloud");
    let endpoint = emulator.host().to_string();
    let settings = [
        ("TANDEM__DOORBELL__KIND", "pubsub"),
        ("TANDEM__DOORBELL__PUBSUB__PROJECT", "tandem-chaos"),
        ("TANDEM__DOORBELL__PUBSUB__ENDPOINT", &endpoint),
        ("TANDEM__DOORBELL__PUBSUB__CREATE", "true"),
    ];
    let cluster = on(&settings).await.submit(LONG).await;

    emulator.kill();
    emulator.start();

    until_connected(&cluster, true).await;
    cluster.completed().await
}
