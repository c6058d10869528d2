//! Jobs that are put straight into the queue, and what is told of them.

use domain::LimitKind;
use e2e::{Database, Process, Site, eventually};
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
use serde_json::{Value, json};
use std::{panic::AssertUnwindSafe, time::Duration};

const LIMIT: Duration = Duration::from_secs(120);

/// A queue for jobs and all that belongs to it, on the server that `RABBITMQ_URL` names; gone afterwards.
struct Post {
    channel: Channel,
    jobs: String,
    exchange: String,
    /// Bound to all events.
    events: String,
    /// Named in jobs.
    replies: String,
}

impl Post {
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

    /// A gateway and a worker that take jobs and tell of them.
    async fn serve(&self) -> (Site, Process, Process) {
        let url = server();
        let site = Site::new(Database::Postgres, 10_000.0).await.with_environment(&[
            ("TANDEM__DOORBELL__RABBITMQ__URLS", &url),
            ("TANDEM__EVENTS__BATCH_EXCHANGE", &self.exchange),
            ("TANDEM__EVENTS__POLL_MS", "100"),
        ]);
        let gateway = site.start_gateways(1).await.remove(0);
        let worker = site.start_worker_with(&self.submissions()).await;
        // Only what is there when it is published finds a queue.
        assert!(eventually(LIMIT, async || self.is_served().await).await, "{}", site.log());
        for queue in [&self.events, &self.replies] {
            let options = QueueDeclareOptions::default();
            self.channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await.unwrap();
        }
        let (events, exchange) = (self.events.as_str().into(), self.exchange.as_str().into());
        let bound = self.channel.queue_bind(
            events,
            exchange,
            "batch.#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        bound.await.unwrap();
        (site, gateway, worker)
    }

    fn submissions(&self) -> [(&str, &str); 2] {
        [("TANDEM__SUBMISSIONS__KIND", "rabbitmq"), ("TANDEM__SUBMISSIONS__QUEUE", &self.jobs)]
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

    async fn send(&self, message: &[u8]) {
        let (queue, options) = (self.jobs.as_str().into(), BasicPublishOptions::default());
        let sent = self.channel.basic_publish("".into(), queue, options, message, BasicProperties::default()).await;
        assert!(sent.unwrap().await.unwrap().is_ack());
    }

    /// The next message of a queue.
    async fn next(&self, queue: &str) -> BasicGetMessage {
        let mut next = None;
        let heard = eventually(LIMIT, async || {
            next = self.channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap();
            next.is_some()
        });
        assert!(heard.await, "nothing came to {queue}");
        let next = next.unwrap();
        next.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
        next
    }

    /// What is told until a batch has ended, by kind.
    async fn told(&self, queue: &str) -> Vec<Value> {
        let mut told: Vec<Value> = Vec::new();
        while told.last().is_none_or(|event| {
            !["completed", "failed"].contains(&event["data"]["status"].as_str().unwrap())
                || event["type"] != format!("batch.{}", event["data"]["status"].as_str().unwrap())
        }) {
            let message = self.next(queue).await;
            told.push(serde_json::from_slice(&message.delivery.data).unwrap());
        }
        told
    }
}

fn server() -> String {
    let named = std::env::var_os("RABBITMQ_URL").and_then(|url| url.into_string().ok());
    named.unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672".to_owned())
}

fn job(site: &Site, submission: &str, input: &Value) -> Value {
    json!({
        "v": 1, "submission_id": submission, "tenant": site.tenant.as_str(), "input": input,
        "batch": {"endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"from": "the queue"}},
    })
}

fn lines(count: usize) -> Value {
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    json!({"lines": e2e::chat_lines(count, 2).lines().map(line).collect::<Vec<_>>()})
}

/// Why a message is among the dead letters.
fn said(properties: &BasicProperties) -> String {
    let headers = properties.headers().as_ref().expect("headers");
    match headers.inner().get("x-reason") {
        Some(AMQPValue::LongString(reason)) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn batches(site: &Site, gateway: &Process) -> Vec<Value> {
    site.try_get(gateway, "/v1/batches").await.unwrap()["data"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_from_the_queue_is_a_batch_whose_sender_hears_of_it() {
    Post::during(async |post| {
        let (site, gateway, _worker) = post.serve().await;
        let mut job = job(&site, "nightly-1", &lines(20));
        job["reply_to"] = json!(post.replies);

        post.send(job.to_string().as_bytes()).await;

        let told = post.told(&post.replies).await;
        let last = &told[told.len() - 1]["data"];
        assert_eq!((&last["submission_id"], &last["request_counts"]["completed"]), (&json!("nightly-1"), &json!(20)));
        let kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("batch.in_progress", "batch.completed"));
        assert_eq!(post.told(&post.events).await, told, "everybody hears the same");
        let output = site.content(&gateway, last["output_file_id"].as_str().unwrap()).await;
        assert_eq!(output.lines().count(), 20);
        assert_eq!(batches(&site, &gateway).await[0]["metadata"]["from"], "the queue");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_comes_twice_is_one_batch_also_over_a_killed_worker() {
    Post::during(async |post| {
        let (site, gateway, worker) = post.serve().await;
        let job = job(&site, "nightly-1", &lines(5)).to_string();
        post.send(job.as_bytes()).await;
        post.told(&post.events).await;

        worker.kill();
        post.send(job.as_bytes()).await;
        post.send(self::job(&site, "nightly-2", &lines(5)).to_string().as_bytes()).await;
        let _worker = site.start_worker_with(&post.submissions()).await;

        post.told(&post.events).await;
        assert_eq!(batches(&site, &gateway).await.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_job_goes_to_the_dead_letters_with_the_reason() {
    Post::during(async |post| {
        let (site, gateway, _worker) = post.serve().await;
        let dead = format!("{}.dead", post.jobs);
        let mut stranger = job(&site, "a", &lines(1));
        stranger["tenant"] = json!("tenant_nobody");
        let bad = [
            (b"\xff\xfe no JSON".to_vec(), "no job"),
            (stranger.to_string().into_bytes(), "No such tenant"),
            (job(&site, "b", &json!({"file_id": "file-none"})).to_string().into_bytes(), "No such File"),
            (job(&site, "c", &json!({"lines": []})).to_string().into_bytes(), "1 to 256"),
        ];

        for (message, reason) in bad {
            post.send(&message).await;
            let letter = post.next(&dead).await.delivery;
            let said = said(&letter.properties);
            assert!(said.contains(reason), "{said}");
            assert_eq!(letter.data, message, "as it came");
        }
        assert!(batches(&site, &gateway).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_mends_the_cause_and_sends_a_dead_letter_again() {
    Post::during(async |post| {
        let (site, gateway, _worker) = post.serve().await;
        let url = server();
        let dlq = |args: &[&str]| {
            let mut settings = vec![("TANDEM__DOORBELL__RABBITMQ__URLS", url.as_str())];
            settings.extend(post.submissions());
            let done = site.command_with(&[&["dlq"], args].concat(), &settings);
            (done.status.success(), String::from_utf8(done.stdout).unwrap())
        };
        let full = site.limit(LimitKind::EnqueuedTokens, 1).await;
        post.send(job(&site, "too much", &lines(3)).to_string().as_bytes()).await;
        post.send(b"no job").await;
        let mut listed = String::new();
        assert!(
            eventually(LIMIT, async || {
                listed = dlq(&["list"]).1;
                listed.lines().count() == 2
            })
            .await,
            "{listed}"
        );
        let line = listed.lines().find(|line| line.contains("token_limit_exceeded")).expect(&listed);
        let id = line.split_whitespace().next().unwrap();
        assert!(dlq(&["show", id]).1.contains("too much"));
        assert!(!dlq(&["drop", "0123456789ab"]).0, "there is none of that id");

        site.store.delete_limit(&store::Author::cli(), &full).await.unwrap();
        assert_eq!(dlq(&["redrive", id]), (true, "1 sent again.\n".to_owned()));

        post.told(&post.events).await;
        assert_eq!(batches(&site, &gateway).await.len(), 1);
        assert_eq!(dlq(&["drop", "--all"]), (true, "1 dropped.\n".to_owned()));
        assert_eq!(dlq(&["list"]), (true, String::new()));
    })
    .await;
}
