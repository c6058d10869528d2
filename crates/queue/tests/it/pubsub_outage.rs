//! A Pub/Sub that is away, killed or hung: rings end with their deadline and listeners come back by themselves. The emulator forgets
//! everything when it ends, so what was confirmed before is not asked for.

use crate::pubsub::settings;
use domain::{Pointer, PointerKind, Result};
use futures::{StreamExt, stream::BoxStream};
use queue::{Delivery, Doorbell, PubSub, PubSubSettings};
use servers::Emulator;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Long enough for a slow machine; only a broken doorbell waits for it.
const PATIENCE: Duration = Duration::from_secs(120);
const DEADLINE: Duration = Duration::from_secs(2);
/// What a ring may take beyond its deadline, on a machine that does other things too.
const SLACK: Duration = Duration::from_secs(10);

fn doorbell(emulator: &Emulator) -> PubSub {
    let publish_timeout_ms = u64::try_from(DEADLINE.as_millis()).unwrap();
    PubSub::new(&PubSubSettings { publish_timeout_ms, ..settings(emulator) }).unwrap()
}

/// Rings in time, whatever comes of it.
async fn ring(bell: &PubSub, id: &str) -> Result<()> {
    let pointer = [Pointer::new(PointerKind::Shard, id)];
    timeout(DEADLINE + SLACK, bell.ring(&pointer)).await.expect("a ring ends with its deadline")
}

/// Rings until it is heard, as the sweep does.
async fn is_heard(bell: &PubSub, heard: &mut BoxStream<'static, Delivery>, id: &str) {
    let begun = Instant::now();
    loop {
        // Refused as long as the outage lasts.
        let _ = ring(bell, id).await;
        while let Ok(delivery) = timeout(Duration::from_secs(1), heard.next()).await {
            let delivery = delivery.expect("the stream goes on");
            let is_it = delivery.pointer.id == id;
            delivery.ack().await.unwrap();
            if is_it {
                return;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "{id} is not heard");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emulator_that_comes_late_is_found() {
    let Some(mut emulator) = Emulator::start_anywhere() else { return };
    emulator.kill();
    let bell = doorbell(&emulator);
    let mut heard = bell.listen(2).await.unwrap();

    let refused = ring(&bell, "early").await;
    bell.health().await.unwrap_err();
    emulator.start();

    refused.unwrap_err();
    is_heard(&bell, &mut heard, "late").await;
    bell.health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_amid_listening_is_outlasted() {
    let Some(mut emulator) = Emulator::start_anywhere() else { return };
    let bell = doorbell(&emulator);
    let mut heard = bell.listen(2).await.unwrap();
    is_heard(&bell, &mut heard, "before").await;

    emulator.kill();
    let refused = ring(&bell, "meanwhile").await;
    emulator.start();

    refused.unwrap_err();
    is_heard(&bell, &mut heard, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_ends_rings_with_their_deadline_and_is_outlasted() {
    let Some(emulator) = Emulator::start_anywhere() else { return };
    let bell = doorbell(&emulator);
    let mut heard = bell.listen(2).await.unwrap();
    is_heard(&bell, &mut heard, "before").await;

    emulator.freeze();
    let refused = ring(&bell, "meanwhile").await;
    let health = bell.health().await;
    emulator.thaw();

    refused.unwrap_err();
    health.unwrap_err();
    is_heard(&bell, &mut heard, "after").await;
}
