//! Jobs and events on the Pub/Sub emulator.

use super::{Hears, Post, Settings, Told};
use e2e::pubsub::{Emulator, Message};
use serde_json::Value;

/// A topic that is listed for replies and not there.
pub(super) const GONE: &str = "gone";

/// Topics for jobs and all that belongs to them, each with a subscription. Workers find them as an operator made them.
pub(super) struct PubSub {
    emulator: Emulator,
    jobs: Topic,
    dead: Topic,
    events: Topic,
    replies: Topic,
}

struct Topic {
    topic: String,
    subscription: String,
}

impl PubSub {
    async fn get(&self, from: &Topic) -> Option<Message> {
        self.emulator.pull(&from.subscription, 1).await.pop()
    }
}

impl Post for PubSub {
    async fn during(test: impl AsyncFnOnce(&Self)) {
        let Some(emulator) = Emulator::start_anywhere().await else { return };
        let make = async |name| {
            let (topic, subscription) = emulator.make_topic(name).await;
            Topic { topic, subscription }
        };
        let (jobs, dead) = (make("jobs").await, make("dead-jobs").await);
        let (events, replies) = (make("batch-events").await, make("answers").await);
        test(&Self { emulator, jobs, dead, events, replies }).await;
    }

    fn address(&self) -> String {
        self.emulator.host.to_string()
    }

    fn broker_at(&self, address: &str) -> Settings {
        vec![("TANDEM__DOORBELL__PUBSUB__ENDPOINT", address.to_owned())]
    }

    fn events(&self) -> Settings {
        vec![
            ("TANDEM__EVENTS__BATCH_TOPIC", self.events.topic.clone()),
            ("TANDEM__EVENTS__REPLY_TOPICS", format!("{},projects/tandem-test/topics/{GONE}", self.replies.topic)),
        ]
    }

    fn submissions(&self) -> Settings {
        vec![
            ("TANDEM__SUBMISSIONS__KIND", "pubsub".to_owned()),
            ("TANDEM__SUBMISSIONS__PUBSUB__TOPIC", self.jobs.topic.clone()),
            ("TANDEM__SUBMISSIONS__PUBSUB__SUBSCRIPTION", self.jobs.subscription.clone()),
            ("TANDEM__SUBMISSIONS__PUBSUB__DEAD_LETTER_TOPIC", self.dead.topic.clone()),
        ]
    }

    fn reply_to(&self) -> String {
        "answers".to_owned()
    }

    async fn is_served(&self) -> bool {
        // Its subscriptions keep what nobody hears yet.
        true
    }

    async fn listen(&self) {}

    async fn send(&self, message: &[u8]) {
        self.emulator.publish(&self.jobs.topic, message).await;
    }

    async fn hear(&self, hears: Hears) -> Option<Told> {
        let from = match hears {
            Hears::Events => &self.events,
            Hears::Replies => &self.replies,
        };
        let Message { data, attributes } = self.get(from).await?;
        let event: Value = serde_json::from_slice(&data).unwrap();
        assert_eq!(attributes["event_id"], event["id"]);
        assert_eq!(attributes["tenant"], event["data"]["tenant"]);
        Some(Told {
            event,
            kind: attributes["type"].as_str().unwrap().to_owned(),
            submission_id: attributes["submission_id"].as_str().map(str::to_owned),
        })
    }

    async fn dead_letter(&self) -> Option<(Vec<u8>, String)> {
        let Message { data, attributes } = self.get(&self.dead).await?;
        Some((data, attributes["reason"].as_str().expect("a reason").to_owned()))
    }
}
