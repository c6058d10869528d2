//! The doorbell on the Pub/Sub emulator.

use crate::chaotic;
use domain::{Pointer, PointerKind};
use futures::{
    StreamExt,
    stream::{BoxStream, SelectAll},
};
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::{
    client::{Publisher, Subscriber},
    model::Message,
    subscriber::MessageStream,
};
use queue::{Delivery, Doorbell, PubSub, PubSubSettings, conformance};
use servers::Emulator;
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// Long enough for a slow machine; only a broken doorbell waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Settings of a topic that nobody else has.
pub(crate) fn settings(emulator: &Emulator) -> PubSubSettings {
    let name = format!("tandem-{}", uuid::Uuid::now_v7().simple());
    PubSubSettings {
        project: Some("tandem-test".to_owned()),
        topic: name.clone(),
        subscription: name.clone(),
        dead_letter_topic: Some(format!("{name}-dead")),
        dead_letter_subscription: None,
        endpoint: Some(emulator.host().to_string()),
        create: true,
        // A machine that is busy with other tests is no broker that is away.
        publish_timeout_ms: 10_000,
    }
}

/// A doorbell that has its broker: an emulator listens before it answers.
pub(crate) async fn doorbell(settings: &PubSubSettings) -> Arc<dyn Doorbell> {
    let bell = PubSub::new(settings).unwrap();
    let begun = Instant::now();
    while let Err(error) = bell.health().await {
        assert!(begun.elapsed() < PATIENCE, "{}", error.chain());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Arc::new(bell)
}

fn pointers(count: usize) -> Vec<Pointer> {
    (0..count).map(|number| Pointer::new(PointerKind::Shard, &format!("shard_{number}"))).collect()
}

pub(crate) async fn hear(heard: &mut BoxStream<'static, Delivery>) -> Delivery {
    timeout(PATIENCE, heard.next()).await.expect("a delivery comes in time").expect("the stream goes on")
}

/// Hears and acknowledges until `count` pointers have come.
pub(crate) async fn hear_all(heard: &mut BoxStream<'static, Delivery>, count: usize) {
    let mut ids = HashSet::new();
    while ids.len() < count {
        let delivery = hear(heard).await;
        ids.insert(delivery.pointer.id.clone());
        delivery.ack().await.unwrap();
    }
}

pub(crate) fn endpoint(settings: &PubSubSettings) -> String {
    format!("http://{}", settings.endpoint.as_deref().unwrap())
}

async fn publish(settings: &PubSubSettings, data: &'static [u8]) {
    publish_to(settings, &settings.topic, Message::new().set_data(data)).await;
}

pub(crate) async fn publish_to(settings: &PubSubSettings, topic: &str, message: Message) {
    let builder = Publisher::builder(format!("projects/tandem-test/topics/{topic}")).with_endpoint(endpoint(settings));
    let publisher = builder.with_credentials(anonymous::Builder::new().build()).build().await.unwrap();
    publisher.publish(message).await.unwrap();
}

async fn dead_letters(settings: &PubSubSettings) -> MessageStream {
    let builder = Subscriber::builder().with_endpoint(endpoint(settings));
    let subscriber = builder.with_credentials(anonymous::Builder::new().build()).build().await.unwrap();
    let dead = settings.dead_letter_topic.as_deref().unwrap();
    subscriber.subscribe(format!("projects/tandem-test/subscriptions/{dead}")).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn pubsub_is_a_doorbell() {
    let Some(emulator) = Emulator::start_anywhere() else { return };

    conformance::suite(|| async { doorbell(&settings(&emulator)).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pubsub_is_prompt() {
    let Some(emulator) = Emulator::start_anywhere() else { return };

    conformance::prompt(|| async { doorbell(&settings(&emulator)).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pubsub_under_chaos_is_still_a_doorbell() {
    let Some(emulator) = Emulator::start_anywhere() else { return };

    conformance::suite(|| async { chaotic(doorbell(&settings(&emulator)).await) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_pointer_is_dead_lettered_with_the_reason_and_holds_nothing_up() {
    let Some(emulator) = Emulator::start_anywhere() else { return };
    let settings = settings(&emulator);
    let bell = doorbell(&settings).await;
    publish(&settings, b"hello").await;
    bell.ring(&pointers(1)).await.unwrap();
    let mut heard = bell.listen(1).await.unwrap();

    hear_all(&mut heard, 1).await;

    let mut dead = dead_letters(&settings).await;
    let (letter, handler) = timeout(PATIENCE, dead.next()).await.expect("a dead letter").unwrap().unwrap();
    assert_eq!(&letter.data[..], b"hello");
    assert!(letter.attributes["reason"].contains("no pointer"), "{letter:?}");
    handler.ack();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_topic_for_it_what_is_no_pointer_is_dropped() {
    let Some(emulator) = Emulator::start_anywhere() else { return };
    let settings = PubSubSettings { dead_letter_topic: None, ..settings(&emulator) };
    let bell = doorbell(&settings).await;
    publish(&settings, b"hello").await;
    let mut heard = bell.listen(1).await.unwrap();
    bell.ring(&pointers(1)).await.unwrap();
    hear_all(&mut heard, 1).await;
    drop(heard);

    let mut raw = Subscriber::builder().with_endpoint(endpoint(&settings));
    raw = raw.with_credentials(anonymous::Builder::new().build());
    let subscription = format!("projects/tandem-test/subscriptions/{}", settings.subscription);
    let mut left = raw.build().await.unwrap().subscribe(subscription).build();

    let surprise = timeout(Duration::from_secs(3), left.next()).await;
    assert!(surprise.is_err(), "{surprise:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_listening_gives_back_what_it_had() {
    const MANY: usize = 40;
    const OTHERS: usize = 8;
    let Some(emulator) = Emulator::start_anywhere() else { return };
    let bell = doorbell(&settings(&emulator)).await;
    bell.ring(&pointers(MANY)).await.unwrap();
    let mut first = bell.listen(MANY).await.unwrap();
    let mut held = Vec::new();
    while held.len() < MANY {
        held.push(hear(&mut first).await);
    }
    let mut others = SelectAll::new();
    for _ in 0..OTHERS {
        others.push(bell.listen(MANY).await.unwrap());
    }
    let mut others = others.boxed();
    bell.ring(&[Pointer::new(PointerKind::Validate, "batch_1")]).await.unwrap();
    hear_all(&mut others, 1).await;

    drop(first);
    drop(held);

    // The client asks for more time for up to a minute; what is given back comes sooner. Not at once: this emulator goes on sending to
    // streams that have ended as to any other, from where it comes again after 20 s.
    let again = timeout(Duration::from_secs(45), hear_all(&mut others, 1));
    again.await.expect("some come again before they lapse");
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_that_hold_what_they_have_leave_the_rest_to_others() {
    let Some(emulator) = Emulator::start_anywhere() else { return };
    let bell = doorbell(&settings(&emulator)).await;
    let (mut one, mut two) = (bell.listen(2).await.unwrap(), bell.listen(2).await.unwrap());
    let all = async {
        let (a, b) = (hear(&mut one).await, hear(&mut two).await);
        let (c, d) = (hear(&mut one).await, hear(&mut two).await);
        [a, b, c, d]
    };

    bell.ring(&pointers(4)).await.unwrap();

    let held = all.await;
    let ids: HashSet<_> = held.iter().map(|delivery| delivery.pointer.id.clone()).collect();
    assert_eq!(ids.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said_and_nothing_is_made_unasked() {
    let Some(emulator) = Emulator::start_anywhere() else { return };
    let settings = PubSubSettings { create: false, ..settings(&emulator) };

    drop(doorbell(&PubSubSettings { topic: "another".to_owned(), create: true, ..settings.clone() }).await);
    let bell = PubSub::new(&settings).unwrap();
    let (health, rung) = (bell.health().await.unwrap_err(), bell.ring(&pointers(1)).await.unwrap_err());

    for error in [health, rung] {
        assert!(error.chain().contains("NOT_FOUND"), "{}", error.chain());
    }
}
