//! The doorbell on a real RabbitMQ.

use crate::chaotic;
use futures::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions, QueueDeleteOptions},
};
use queue::{Doorbell, RabbitMq, RabbitMqSettings, conformance};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Long enough for a slow machine; only a broken doorbell waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Queues of one test on the server that `RABBITMQ_URL` names; gone afterwards.
#[derive(Clone, Default)]
struct Queues(Arc<Mutex<Vec<String>>>);

impl Queues {
    /// Runs `test`, and removes its queues.
    async fn during<F: Future<Output = ()>>(test: impl FnOnce(Self) -> F) {
        let queues = Self::default();
        crate::then(test(queues.clone()), queues.remove()).await;
    }

    fn doorbell(&self) -> (String, Arc<dyn Doorbell>) {
        let queue = format!("tandem.test.{}", uuid::Uuid::now_v7().simple());
        self.0.lock().unwrap().push(queue.clone());
        let settings = RabbitMqSettings {
            urls: vec![server().into()],
            queue: queue.clone(),
            // A machine that is busy with other tests is no broker that is away.
            publish_timeout_ms: 10_000,
            ..RabbitMqSettings::default()
        };
        (queue, Arc::new(RabbitMq::new(&settings).unwrap()))
    }

    async fn remove(self) {
        let channel = channel().await;
        let queues = std::mem::take(&mut *self.0.lock().unwrap());
        for queue in queues {
            for name in [format!("{queue}.dead"), queue] {
                channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
            }
        }
    }
}

fn server() -> String {
    let named = std::env::var_os("RABBITMQ_URL").and_then(|url| url.into_string().ok());
    named.unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672".to_owned())
}

async fn channel() -> Channel {
    let connection = Connection::connect(&server(), ConnectionProperties::default()).await;
    connection.expect("RabbitMQ; RABBITMQ_URL names one").create_channel().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_a_doorbell() {
    Queues::during(|queues| async move { conformance::suite(|| async { queues.doorbell().1 }).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_prompt() {
    Queues::during(|queues| async move { conformance::prompt(|| async { queues.doorbell().1 }).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_under_chaos_is_still_a_doorbell() {
    Queues::during(|queues| async move { conformance::suite(|| async { chaotic(queues.doorbell().1) }).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_no_queue_gets_is_an_error_and_the_queue_is_made_again() {
    Queues::during(|queues| async move {
        let (queue, bell) = queues.doorbell();
        let pointer = [domain::Pointer::new(domain::PointerKind::Shard, "shard_1")];
        bell.ring(&pointer).await.unwrap();
        channel().await.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();

        let error = bell.ring(&pointer).await.unwrap_err();

        assert!(error.chain().contains("312 NO_ROUTE"), "{}", error.chain());
        bell.ring(&pointer).await.unwrap();
        assert_eq!(bell.depth().await.unwrap(), Some(1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_pointer_is_dead_lettered_with_the_reason_and_holds_nothing_up() {
    Queues::during(|queues| async move {
        let (queue, bell) = queues.doorbell();
        bell.health().await.unwrap();
        let channel = channel().await;
        let options = BasicPublishOptions::default();
        let nonsense =
            channel.basic_publish("".into(), queue.as_str().into(), options, b"hello", BasicProperties::default());
        nonsense.await.unwrap();
        bell.ring(&[domain::Pointer::new(domain::PointerKind::Shard, "shard_1")]).await.unwrap();
        let mut heard = bell.listen(1).await.unwrap();

        let delivery = tokio::time::timeout(PATIENCE, heard.next()).await.unwrap().unwrap();

        assert_eq!(delivery.pointer.id, "shard_1");
        let dead = channel.basic_get(format!("{queue}.dead").as_str().into(), BasicGetOptions { no_ack: true }).await;
        let dead = dead.unwrap().expect("a dead letter");
        let headers = format!("{:?}", dead.delivery.properties.headers());
        assert_eq!(dead.delivery.data, b"hello");
        assert!(headers.contains("x-reason"), "{headers}");
        delivery.ack().await.unwrap();
    })
    .await;
}
