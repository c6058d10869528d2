//! Jobs and events on RabbitMQ.

use super::{Hears, Post, Settings, Told};
use futures::FutureExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::BasicGetMessage,
    options::{
        BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions,
        QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use std::panic::AssertUnwindSafe;

/// A queue for jobs and all that belongs to it, on the server that `RABBITMQ_URL` names; gone afterwards.
pub(super) struct RabbitMq {
    channel: Channel,
    jobs: String,
    exchange: String,
    /// Bound to all events.
    events: String,
    /// Named in jobs.
    replies: String,
}

fn server() -> String {
    let named = std::env::var_os("RABBITMQ_URL").and_then(|url| url.into_string().ok());
    named.unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672".to_owned())
}

impl RabbitMq {
    async fn get(&self, queue: &str) -> Option<BasicGetMessage> {
        let next = self.channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap()?;
        next.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
        Some(next)
    }
}

impl Post for RabbitMq {
    async fn during(test: impl AsyncFnOnce(&Self)) {
        let channel = Connection::connect(&server(), ConnectionProperties::default()).await.unwrap();
        let channel = channel.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let name = format!("tandem.e2e.{}", domain::RequestId::generate());
        let post = Self {
            channel,
            jobs: format!("{name}.jobs"),
            exchange: format!("{name}.events"),
            events: format!("{name}.heard"),
            replies: format!("{name}.replies"),
        };
        let outcome = AssertUnwindSafe(test(&post)).catch_unwind().await;
        for queue in [post.jobs.clone(), format!("{}.dead", post.jobs), post.events.clone(), post.replies.clone()] {
            post.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        post.channel.exchange_delete(post.exchange.into(), ExchangeDeleteOptions::default()).await.unwrap();
        outcome.unwrap();
    }

    fn address(&self) -> String {
        let server = server();
        server.rsplit_once('@').unwrap().1.trim_end_matches('/').to_owned()
    }

    fn broker_at(&self, address: &str) -> Settings {
        let server = server();
        let (credentials, _) = server.rsplit_once('@').unwrap();
        vec![("TANDEM__DOORBELL__RABBITMQ__URLS", format!("{credentials}@{address}"))]
    }

    fn events(&self) -> Settings {
        vec![("TANDEM__EVENTS__BATCH_EXCHANGE", self.exchange.clone())]
    }

    fn submissions(&self) -> Settings {
        vec![("TANDEM__SUBMISSIONS__KIND", "rabbitmq".to_owned()), ("TANDEM__SUBMISSIONS__QUEUE", self.jobs.clone())]
    }

    fn reply_to(&self) -> String {
        self.replies.clone()
    }

    /// Whether the worker has made the queue for jobs and the exchange.
    async fn is_served(&self) -> bool {
        let connection = Connection::connect(&server(), ConnectionProperties::default()).await.unwrap();
        let (one, two) = (connection.create_channel().await.unwrap(), connection.create_channel().await.unwrap());
        let passive = QueueDeclareOptions::durable().passive();
        let queue = one.queue_declare(self.jobs.as_str().into(), passive, FieldTable::default()).await;
        let exchange = lapin::options::ExchangeDeclareOptions { passive: true, ..Default::default() };
        let (name, kind) = (self.exchange.as_str().into(), lapin::ExchangeKind::Topic);
        queue.is_ok() && two.exchange_declare(name, kind, exchange, FieldTable::default()).await.is_ok()
    }

    async fn listen(&self) {
        for queue in [&self.events, &self.replies] {
            let options = QueueDeclareOptions::default();
            self.channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await.unwrap();
        }
        let (events, exchange) = (self.events.as_str().into(), self.exchange.as_str().into());
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        self.channel.queue_bind(events, exchange, "batch.#".into(), options, arguments).await.unwrap();
    }

    async fn send(&self, message: &[u8]) {
        let (queue, options) = (self.jobs.as_str().into(), BasicPublishOptions::default());
        let sent = self.channel.basic_publish("".into(), queue, options, message, BasicProperties::default()).await;
        assert!(sent.unwrap().await.unwrap().is_ack());
    }

    async fn hear(&self, hears: Hears) -> Option<Told> {
        let queue = match hears {
            Hears::Events => &self.events,
            Hears::Replies => &self.replies,
        };
        let next = self.get(queue).await?.delivery;
        let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(ToString::to_string);
        Some(Told {
            event: serde_json::from_slice(&next.data).unwrap(),
            kind: text(next.properties.kind()).unwrap(),
            submission_id: text(next.properties.correlation_id()),
        })
    }

    async fn dead_letter(&self) -> Option<(Vec<u8>, String)> {
        let letter = self.get(&format!("{}.dead", self.jobs)).await?.delivery;
        let headers = letter.properties.headers().as_ref().expect("headers");
        match headers.inner().get("x-reason") {
            Some(AMQPValue::LongString(reason)) => Some((letter.data.clone(), reason.to_string())),
            other => panic!("{other:?}"),
        }
    }
}
