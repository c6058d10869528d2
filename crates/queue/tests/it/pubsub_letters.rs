//! Jobs and dead letters on the Pub/Sub emulator.

use crate::pubsub::{PATIENCE, doorbell, endpoint, hear, publish_to, settings};
use domain::{Pointer, PointerKind, Result};
use futures::{StreamExt, stream::BoxStream};
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::{
    client::{SubscriptionAdmin, TopicAdmin},
    model::Message,
};
use queue::{
    DeadLetter, DeadLetters, DeadLettersOf, Doorbell, DoorbellKind, DoorbellSettings, PubSubSettings, Sentence,
    SubmissionsKind, SubmissionsPubSubSettings, SubmissionsSettings, Submitted,
};
use servers::Emulator;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// Long enough to hear what should not come.
const QUIET: Duration = Duration::from_secs(2);

/// A doorbell that makes its resources, and jobs on the same emulator that don't.
fn sections(emulator: &Emulator) -> (DoorbellSettings, SubmissionsSettings) {
    let pubsub = PubSubSettings { create: false, ..settings(emulator) };
    let name = format!("{}-jobs", pubsub.topic);
    let jobs = SubmissionsPubSubSettings {
        topic: name.clone(),
        subscription: name.clone(),
        dead_letter_topic: format!("{name}-dead"),
        dead_letter_subscription: None,
    };
    let doorbell = DoorbellSettings { kind: DoorbellKind::PubSub, pubsub, ..DoorbellSettings::default() };
    let submissions =
        SubmissionsSettings { kind: SubmissionsKind::PubSub, pubsub: jobs, ..SubmissionsSettings::default() };
    (doorbell, submissions)
}

/// Makes a topic and a subscription to it, as an operator does.
async fn make(settings: &PubSubSettings, name: &str) {
    let (topic, subscription) =
        (format!("projects/tandem-test/topics/{name}"), format!("projects/tandem-test/subscriptions/{name}"));
    let credentials = anonymous::Builder::new().build();
    let topics = TopicAdmin::builder().with_endpoint(endpoint(settings)).with_credentials(credentials.clone());
    let topics = topics.build().await.unwrap();
    let begun = Instant::now();
    // An emulator listens before it answers.
    while let Err(error) = topics.create_topic().set_name(&topic).send().await {
        assert!(begun.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let subscriptions = SubscriptionAdmin::builder().with_endpoint(endpoint(settings)).with_credentials(credentials);
    let subscribing = subscriptions.build().await.unwrap().create_subscription();
    subscribing.set_name(subscription).set_topic(topic).send().await.unwrap();
}

async fn job(jobs: &mut BoxStream<'static, Submitted>) -> Submitted {
    timeout(PATIENCE, jobs.next()).await.expect("a job comes in time").expect("the stream goes on")
}

async fn list(letters: &dyn DeadLetters) -> Vec<DeadLetter> {
    letters.sort(100, &|_| Sentence::Keep).await.unwrap()
}

/// The same until there are `count`: the emulator may keep for a while what a look before has given back.
async fn list_all(letters: &dyn DeadLetters, count: usize) -> Vec<DeadLetter> {
    let begun = Instant::now();
    loop {
        let found = list(letters).await;
        if found.len() == count {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_job_stays_until_its_dead_letter_is_confirmed() {
    let Some(emulator) = Emulator::start_anywhere() else { return };
    let (doorbell, submissions) = sections(&emulator);
    let jobs_at = &submissions.pubsub;
    make(&doorbell.pubsub, &jobs_at.topic).await;
    let mut jobs = submissions.open(&doorbell).unwrap().unwrap().listen(1).await.unwrap();
    publish_to(&doorbell.pubsub, &jobs_at.topic, Message::new().set_data("no job")).await;

    let without_a_place = job(&mut jobs).await.refuse("it says nothing").await;
    make(&doorbell.pubsub, &jobs_at.dead_letter_topic).await;
    let begun = Instant::now();
    while let Err(error) = job(&mut jobs).await.refuse("it says nothing").await {
        assert!(begun.elapsed() < PATIENCE, "{}", error.chain());
    }

    without_a_place.unwrap_err();
    let letters = DeadLettersOf::Submissions.open(&doorbell, &submissions).unwrap();
    let dead = list(&*letters).await;
    let said: Vec<_> = dead.iter().map(|letter| (letter.message.as_slice(), letter.reason.as_deref())).collect();
    assert_eq!(said, [(b"no job".as_slice(), Some("it says nothing"))]);
    let surprise = timeout(QUIET, jobs.next()).await;
    assert!(surprise.is_err(), "{surprise:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_jobs_are_out_than_there_are_slots() {
    let Some(emulator) = Emulator::start_anywhere() else { return };
    let (doorbell, submissions) = sections(&emulator);
    let topic = &submissions.pubsub.topic;
    make(&doorbell.pubsub, topic).await;
    make(&doorbell.pubsub, &submissions.pubsub.dead_letter_topic).await;
    for text in ["1", "2", "3"] {
        publish_to(&doorbell.pubsub, topic, Message::new().set_data(text)).await;
    }
    let mut jobs = submissions.open(&doorbell).unwrap().unwrap().listen(2).await.unwrap();

    let (first, second) = (job(&mut jobs).await, job(&mut jobs).await);
    let beyond = timeout(QUIET, jobs.next()).await;
    let mut seen = vec![first.message.clone(), second.message.clone()];
    first.accept().await.unwrap();
    drop(second);
    // What was dropped comes again, and the third.
    while seen.len() < 4 {
        let next = job(&mut jobs).await;
        seen.push(next.message.clone());
        next.accept().await.unwrap();
    }

    assert!(beyond.is_err(), "{beyond:?}");
    seen.sort();
    seen.dedup();
    assert_eq!(seen, [b"1", b"2", b"3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_looked_at_and_given_back_sent_again_and_dropped() -> Result<()> {
    let Some(emulator) = Emulator::start_anywhere() else { return Ok(()) };
    let pubsub = settings(&emulator);
    let bell: Arc<dyn Doorbell> = doorbell(&pubsub).await;
    let sections = DoorbellSettings { kind: DoorbellKind::PubSub, pubsub, ..DoorbellSettings::default() };
    let letters = DeadLettersOf::Doorbell.open(&sections, &SubmissionsSettings::default())?;
    let dead = sections.pubsub.dead_letter_topic.as_deref().unwrap();
    // One that Pub/Sub itself gave up, and one that was buried here.
    let pointer = serde_json::to_vec(&Pointer::new(PointerKind::Shard, "shard_1")).unwrap();
    let given_up = [("CloudPubSubDeadLetterSourceDeliveryCount", "100")];
    publish_to(&sections.pubsub, dead, Message::new().set_data(pointer).set_attributes(given_up)).await;
    publish_to(&sections.pubsub, dead, Message::new().set_data("x").set_attributes([("reason", "no pointer")])).await;

    let (once, twice) = (list_all(&*letters, 2).await, list_all(&*letters, 2).await);
    let judge = |letter: &DeadLetter| if letter.message == b"x" { Sentence::Drop } else { Sentence::Redrive };
    let judged = AtomicUsize::new(0);
    let begun = Instant::now();
    while judged.load(Ordering::Relaxed) < 2 {
        let count = |letter: &DeadLetter| {
            judged.fetch_add(1, Ordering::Relaxed);
            judge(letter)
        };
        assert_eq!(letters.sort(100, &count).await?, []);
        assert!(begun.elapsed() < PATIENCE);
    }

    let reasons: Vec<_> = once.iter().map(|letter| letter.reason.as_deref().unwrap()).collect();
    assert_eq!(reasons, ["Pub/Sub: delivered 100 times and never acknowledged", "no pointer"]);
    assert_eq!(once, twice);
    let mut heard = bell.listen(1).await?;
    let delivery = hear(&mut heard).await;
    assert_eq!(delivery.pointer.id, "shard_1");
    delivery.ack().await?;
    assert_eq!(list(&*letters).await, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_a_pubsub_that_is_away_are_an_error_and_not_none() {
    let Some(mut emulator) = Emulator::start_anywhere() else { return };
    let (doorbell, submissions) = sections(&emulator);
    let letters = DeadLettersOf::Submissions.open(&doorbell, &submissions).unwrap();

    emulator.kill();
    let looked = letters.sort(10, &|_| Sentence::Keep).await;

    assert!(looked.is_err(), "{looked:?}");
}
