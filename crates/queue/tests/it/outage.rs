//! A broker that is stopped, killed, starved or unreachable: rings fail in time, listeners come back by themselves, and nothing that
//! was confirmed is lost.

use domain::{Pointer, PointerKind, Result};
use futures::{StreamExt, stream::BoxStream};
use queue::{Delivery, Doorbell, RabbitMq, RabbitMqSettings};
use servers::Broker;
use std::{collections::HashSet, time::Duration};
use tokio::time::{Instant, timeout};

/// Long enough for a slow machine; only a broken doorbell waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(2);
/// What a ring may take beyond its deadline, on a machine that does other things too.
const SLACK: Duration = Duration::from_secs(10);

fn doorbell(address: &str) -> RabbitMq {
    let settings = RabbitMqSettings {
        urls: vec![format!("amqp://guest:guest@{address}").into()],
        publish_timeout_ms: u64::try_from(DEADLINE.as_millis()).unwrap(),
        heartbeat_secs: 1,
        ..RabbitMqSettings::default()
    };
    RabbitMq::new(&settings).unwrap()
}

fn pointer(number: usize) -> Pointer {
    Pointer::new(PointerKind::Shard, &format!("shard_{number}"))
}

/// Rings in time, whatever comes of it.
async fn ring(bell: &RabbitMq, number: usize) -> Result<()> {
    timeout(DEADLINE + SLACK, bell.ring(&[pointer(number)])).await.expect("a ring ends with its deadline")
}

async fn rings_again(bell: &RabbitMq, number: usize) {
    let begun = Instant::now();
    while let Err(error) = ring(bell, number).await {
        assert!(begun.elapsed() < PATIENCE, "{}", error.chain());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Hears and acknowledges until all of `numbers` have come.
async fn hear(heard: &mut BoxStream<'static, Delivery>, numbers: impl IntoIterator<Item = usize>) {
    let mut missing: HashSet<_> = numbers.into_iter().map(|number| pointer(number).id).collect();
    while !missing.is_empty() {
        let delivery = timeout(PATIENCE, heard.next()).await;
        let delivery = delivery.unwrap_or_else(|_| panic!("{missing:?} don't come")).expect("the stream goes on");
        missing.remove(&delivery.pointer.id);
        // That of a connection that was lost can't be told, and comes again.
        let _ = delivery.ack().await;
    }
}

/// Rings before, during and after an outage.
async fn survives(down: impl FnOnce(&mut Broker)) {
    let Some(mut broker) = Broker::start_anywhere() else { return };
    let bell = doorbell(&broker.address());
    rings_again(&bell, 0).await;
    // RabbitMQ 3.10 writes late which queues have a log. One that was made seconds before a kill may come back empty and leaderless.
    broker.stop();
    broker.start();
    rings_again(&bell, 0).await;
    let mut heard = bell.listen(4).await.unwrap();
    hear(&mut heard, [0]).await;
    for number in 1..=50 {
        ring(&bell, number).await.unwrap();
    }

    down(&mut broker);
    let refused = ring(&bell, 51).await;
    broker.start();
    rings_again(&bell, 52).await;

    refused.unwrap_err();
    hear(&mut heard, (1..=50).chain([52])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_nothing_that_was_confirmed() {
    survives(Broker::stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_was_confirmed() {
    survives(Broker::kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_memory_refuses_in_time_and_still_delivers() {
    let Some(broker) = Broker::start_anywhere() else { return };
    let bell = doorbell(&broker.address());
    rings_again(&bell, 0).await;
    ring(&bell, 1).await.unwrap();

    broker.starve();
    let refused = ring(&bell, 2).await;
    let mut heard = bell.listen(4).await.unwrap();
    hear(&mut heard, [0, 1]).await;
    broker.feed();
    rings_again(&bell, 3).await;

    refused.unwrap_err();
    hear(&mut heard, [3]).await;
}
