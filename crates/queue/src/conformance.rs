//! What every doorbell must do. [`suite`] holds even for one that loses and doubles ([`crate::chaos`]); [`prompt`] is for
//! those that do not misbehave on purpose. Panics, as a test does.

use crate::{Delivery, Doorbell};
use domain::{Pointer, PointerKind};
use futures::{StreamExt, stream::BoxStream};
use std::{collections::HashSet, future::Future, sync::Arc, time::Duration};

/// Long enough for a slow machine, short enough to fail a test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough to hear what should not come.
const QUIET: Duration = Duration::from_millis(700);

/// The promises of the trait itself. `make` gives a doorbell with nothing in it, each time a new one.
pub async fn suite<M, F>(make: M)
where
    M: Fn() -> F,
    F: Future<Output = Arc<dyn Doorbell>>,
{
    what_is_rung_again_and_again_is_heard(&*make().await).await;
    nothing_is_heard_that_was_not_rung(&*make().await).await;
    no_more_than_the_slots_are_outstanding(&*make().await).await;
    health_and_depth_answer(&*make().await).await;
}

/// What a doorbell does as long as nothing breaks.
pub async fn prompt<M, F>(make: M)
where
    M: Fn() -> F,
    F: Future<Output = Arc<dyn Doorbell>>,
{
    a_ring_is_heard_with_its_trace(&*make().await).await;
    a_nack_offers_it_again(&*make().await).await;
    a_drop_offers_it_again(&*make().await).await;
    an_ack_ends_it(&*make().await).await;
    listeners_share_the_rings(&*make().await).await;
    a_ring_before_the_listener_is_kept(&*make().await).await;
}

fn pointers(count: usize) -> Vec<Pointer> {
    (0..count).map(|number| Pointer::new(PointerKind::Shard, &format!("shard_{number}"))).collect()
}

async fn listen(bell: &dyn Doorbell, slots: usize) -> BoxStream<'static, Delivery> {
    bell.listen(slots).await.expect("listening works")
}

async fn hear(heard: &mut BoxStream<'static, Delivery>) -> Delivery {
    let delivery = tokio::time::timeout(PATIENCE, heard.next()).await.expect("a delivery comes in time");
    delivery.expect("the stream goes on")
}

async fn silence(heard: &mut BoxStream<'static, Delivery>) {
    let surprise = tokio::time::timeout(QUIET, heard.next()).await;
    assert!(surprise.is_err(), "heard {surprise:?}");
}

async fn what_is_rung_again_and_again_is_heard(bell: &dyn Doorbell) {
    let rung = pointers(20);
    let mut missing: HashSet<_> = rung.iter().cloned().collect();
    let mut heard = listen(bell, 4).await;

    // As the sweep does: ring what has not been heard until it has.
    let listening = async {
        while !missing.is_empty() {
            let again: Vec<_> = missing.iter().cloned().collect();
            bell.ring(&again).await.expect("ringing works");
            while let Ok(Some(delivery)) = tokio::time::timeout(QUIET, heard.next()).await {
                missing.remove(&delivery.pointer);
                delivery.ack().await.expect("an ack works");
            }
        }
    };

    tokio::time::timeout(PATIENCE, listening).await.expect("every pointer is heard in the end");
}

async fn nothing_is_heard_that_was_not_rung(bell: &dyn Doorbell) {
    let rung = pointers(10);
    let mut heard = listen(bell, 4).await;

    bell.ring(&rung).await.expect("ringing works");

    while let Ok(Some(delivery)) = tokio::time::timeout(QUIET, heard.next()).await {
        assert!(rung.contains(&delivery.pointer), "heard {delivery:?}");
        delivery.ack().await.expect("an ack works");
    }
}

async fn no_more_than_the_slots_are_outstanding(bell: &dyn Doorbell) {
    let mut heard = listen(bell, 2).await;
    let mut held = Vec::new();

    while held.len() < 2 {
        bell.ring(&pointers(8)).await.expect("ringing works");
        while let Ok(Some(delivery)) = tokio::time::timeout(QUIET, heard.next()).await {
            held.push(delivery);
        }
    }

    assert_eq!(held.len(), 2);
    held.pop().expect("two are held").ack().await.expect("an ack works");
    bell.ring(&pointers(8)).await.expect("ringing works");
    hear(&mut heard).await.ack().await.expect("an ack works");
}

async fn health_and_depth_answer(bell: &dyn Doorbell) {
    bell.health().await.expect("a new doorbell is healthy");

    assert!(bell.depth().await.expect("depth works").is_none_or(|depth| depth == 0));
}

async fn a_ring_is_heard_with_its_trace(bell: &dyn Doorbell) {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut pointer = Pointer::new(PointerKind::Validate, "batch_1");
    pointer.traceparent = Some(trace.to_owned());
    let mut heard = listen(bell, 1).await;

    bell.ring(std::slice::from_ref(&pointer)).await.expect("ringing works");

    let delivery = hear(&mut heard).await;
    assert_eq!(delivery.pointer, pointer);
    delivery.ack().await.expect("an ack works");
}

async fn a_nack_offers_it_again(bell: &dyn Doorbell) {
    let mut heard = listen(bell, 1).await;
    bell.ring(&pointers(1)).await.expect("ringing works");

    hear(&mut heard).await.nack().await.expect("a nack works");

    hear(&mut heard).await.ack().await.expect("an ack works");
}

async fn a_drop_offers_it_again(bell: &dyn Doorbell) {
    let mut heard = listen(bell, 1).await;
    bell.ring(&pointers(1)).await.expect("ringing works");

    drop(hear(&mut heard).await);

    hear(&mut heard).await.ack().await.expect("an ack works");
}

async fn an_ack_ends_it(bell: &dyn Doorbell) {
    let mut heard = listen(bell, 2).await;
    bell.ring(&pointers(1)).await.expect("ringing works");

    hear(&mut heard).await.ack().await.expect("an ack works");

    silence(&mut heard).await;
    assert!(bell.depth().await.expect("depth works").is_none_or(|depth| depth == 0));
}

async fn listeners_share_the_rings(bell: &dyn Doorbell) {
    let (mut one, mut two) = (listen(bell, 1).await, listen(bell, 1).await);
    bell.ring(&pointers(2)).await.expect("ringing works");

    let (first, second) = (hear(&mut one).await, hear(&mut two).await);

    assert_ne!(first.pointer, second.pointer);
    first.ack().await.expect("an ack works");
    second.ack().await.expect("an ack works");
}

async fn a_ring_before_the_listener_is_kept(bell: &dyn Doorbell) {
    bell.ring(&pointers(3)).await.expect("ringing works");

    let mut heard = listen(bell, 3).await;

    for _ in 0..3 {
        hear(&mut heard).await.ack().await.expect("an ack works");
    }
}
