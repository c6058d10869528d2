//! Jobs that are put straight into the queue, and what is told of them: the same stories on each broker.

mod pubsub;
mod rabbitmq;

use bucket::Bucket;
use domain::{BatchId, LimitKind};
use e2e::{Database, Link, Process, Site, eventually};
use pubsub::PubSub;
use rabbitmq::RabbitMq;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

const LIMIT: Duration = Duration::from_secs(300);

/// Variables of the environment.
type Settings = Vec<(&'static str, String)>;

/// A broker as those see it who send jobs and hear of them. What is made for a test is gone afterwards.
trait Post: Sized {
    /// Runs a test, if there is such a broker.
    async fn during(test: impl AsyncFnOnce(&Self));

    /// Where it is, `host:port`.
    fn address(&self) -> String;

    /// Settings that have it at this address.
    fn broker_at(&self, address: &str) -> Settings;

    /// Settings that have events there.
    fn events(&self) -> Settings;

    /// Settings that have jobs come from there.
    fn submissions(&self) -> Settings;

    /// Where a sender is answered.
    fn reply_to(&self) -> String;

    /// Whether jobs and events have where to go.
    async fn is_served(&self) -> bool;

    /// From now on what is told is kept.
    async fn listen(&self);

    async fn send(&self, message: &[u8]);

    /// The next event, if there is one.
    async fn hear(&self, hears: Hears) -> Option<Told>;

    /// The next dead letter and its reason, if there is one.
    async fn dead_letter(&self) -> Option<(Vec<u8>, String)>;
}

#[derive(Debug, Clone, Copy)]
enum Hears {
    /// Everybody.
    Events,
    /// The sender.
    Replies,
}

/// An event, and what the broker can tell of it without reading it.
struct Told {
    event: Value,
    kind: String,
    submission_id: Option<String>,
}

/// A site with a gateway; workers come and go.
struct Stage<'a, P> {
    post: &'a P,
    site: Site,
    gateway: Process,
    /// More settings of workers.
    of_workers: Settings,
}

impl<'a, P: Post> Stage<'a, P> {
    async fn set(post: &'a P) -> Self {
        Self::set_with(post, &[], Settings::new()).await
    }

    /// With more settings, for all processes and for workers.
    async fn set_with(post: &'a P, of_all: &[(&str, &str)], of_workers: Settings) -> Self {
        let settings = [post.broker_at(&post.address()), post.events()].concat();
        let site = Site::new(Database::Postgres, 10_000.0).await.with_environment(&borrowed(&settings));
        let site = site.with_environment(&[("TANDEM__EVENTS__POLL_MS", "100")]).with_environment(of_all);
        let gateway = site.start_gateways(1).await.remove(0);
        Self { post, site, gateway, of_workers }
    }

    /// A worker that takes jobs.
    async fn start_worker(&self) -> Process {
        self.start_worker_at(&self.post.address()).await
    }

    /// The same with the broker at another address.
    async fn start_worker_at(&self, address: &str) -> Process {
        let settings = [self.post.broker_at(address), self.post.submissions(), self.of_workers.clone()].concat();
        let worker = self.site.start_worker_with(&borrowed(&settings));
        assert!(eventually(LIMIT, async || self.post.is_served().await).await, "{}", self.site.log());
        self.post.listen().await;
        worker
    }

    async fn send(&self, job: &Value) {
        self.post.send(job.to_string().as_bytes()).await;
    }

    /// All that is told of the batch of a job, oldest first. It comes at least once, in no order.
    async fn told(&self, hears: Hears, submission: &str) -> Vec<Value> {
        let mut told = BTreeMap::new();
        let all = eventually(LIMIT, async || {
            while let Some(Told { event, kind, submission_id }) = self.post.hear(hears).await {
                assert_eq!(Some(kind.as_str()), event["type"].as_str());
                assert_eq!(submission_id.as_deref(), event["data"]["submission_id"].as_str());
                if submission_id.as_deref() == Some(submission) {
                    told.insert(event["id"].as_str().unwrap().to_owned(), event);
                }
            }
            let Some(end) = told.values().find(|event| is_end(event)) else { return false };
            let batch = BatchId::from_string(end["data"]["id"].as_str().unwrap());
            self.site.store.batch_events(&batch).await.unwrap().iter().all(|event| told.contains_key(event.id.as_str()))
        });
        assert!(all.await, "{told:?}\n{}", self.site.log());
        told.into_values().collect()
    }

    async fn dead_letter(&self) -> (Vec<u8>, String) {
        let mut letter = None;
        let came = eventually(LIMIT, async || {
            letter = self.post.dead_letter().await;
            letter.is_some()
        });
        assert!(came.await, "no dead letter\n{}", self.site.log());
        letter.unwrap()
    }

    async fn batches(&self) -> Vec<Value> {
        self.site.try_get(&self.gateway, "/v1/batches").await.unwrap()["data"].as_array().unwrap().clone()
    }

    /// Runs `tandem dlq`: whether it went well, and what it printed.
    fn dlq(&self, args: &[&str]) -> (bool, String) {
        let settings = [self.post.broker_at(&self.post.address()), self.post.submissions()].concat();
        let done = self.site.command_with(&[&["dlq"], args].concat(), &borrowed(&settings));
        (done.status.success(), String::from_utf8(done.stdout).unwrap())
    }

    /// What it prints when it goes well. The emulator may keep for a while what a look before has given back.
    async fn dlq_at_last(&self, args: &[&str]) -> String {
        let mut said = (false, String::new());
        let went_well = eventually(LIMIT, async || {
            said = self.dlq(args);
            said.0
        });
        assert!(went_well.await, "{args:?}\n{}", self.site.log());
        said.1
    }

    fn job(&self, submission: &str, input: &Value) -> Value {
        json!({
            "v": 1, "submission_id": submission, "tenant": self.site.tenant.as_str(), "input": input,
            "batch": {"endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"from": "the queue"}},
        })
    }
}

fn borrowed(settings: &Settings) -> Vec<(&str, &str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn lines(count: usize) -> Value {
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    json!({"lines": e2e::chat_lines(count, 2).lines().map(line).collect::<Vec<_>>()})
}

fn is_end(event: &Value) -> bool {
    ["batch.completed", "batch.failed"].contains(&event["type"].as_str().unwrap())
}

async fn a_job_from_the_queue_is_a_batch_whose_sender_hears_of_it(post: &impl Post) {
    let stage = Stage::set(post).await;
    let _worker = stage.start_worker().await;
    let mut job = stage.job("nightly-1", &lines(20));
    job["reply_to"] = json!(post.reply_to());

    stage.send(&job).await;

    let told = stage.told(Hears::Replies, "nightly-1").await;
    let kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("batch.in_progress", "batch.completed"));
    let last = &told[told.len() - 1]["data"];
    assert_eq!(last["request_counts"]["completed"], 20);
    let ids = |told: &[Value]| told.iter().map(|event| event["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&stage.told(Hears::Events, "nightly-1").await), ids(&told), "everybody hears the same");
    let output = stage.site.content(&stage.gateway, last["output_file_id"].as_str().unwrap()).await;
    assert_eq!(output.lines().count(), 20);
    assert_eq!(stage.batches().await[0]["metadata"]["from"], "the queue");
}

async fn a_job_that_comes_twice_is_one_batch_also_over_a_killed_worker(post: &impl Post) {
    let stage = Stage::set(post).await;
    let worker = stage.start_worker().await;
    let job = stage.job("nightly-1", &lines(5));
    stage.send(&job).await;
    stage.told(Hears::Events, "nightly-1").await;

    worker.kill();
    stage.send(&job).await;
    stage.send(&stage.job("nightly-2", &lines(5))).await;
    let _worker = stage.start_worker().await;

    stage.told(Hears::Events, "nightly-2").await;
    assert_eq!(stage.batches().await.len(), 2);
}

async fn a_worker_killed_after_the_database_and_before_the_broker_makes_one_batch(post: &impl Post) {
    let stage = Stage::set(post).await;
    let link = Link::to(post.address()).await;
    let worker = stage.start_worker_at(&link.address().to_string()).await;
    let lock = stage.site.lock("submissions");
    stage.send(&stage.job("nightly-1", &lines(5))).await;
    let waits = eventually(LIMIT, async || stage.site.is_waited_for("submissions")).await;
    assert!(waits, "{}", stage.site.log());

    // From here on the broker hears nothing of this worker; the database does.
    link.fall_silent();
    drop(lock);
    assert!(eventually(LIMIT, async || stage.batches().await.len() == 1).await, "{}", stage.site.log());
    worker.kill();
    drop(link);
    let batch = stage.batches().await[0]["id"].as_str().unwrap().to_owned();
    let took = || stage.site.log().matches(&format!("a job became {batch}")).count();
    // The first worker may have had the time to say it.
    let said = took();
    let _worker = stage.start_worker().await;

    stage.told(Hears::Events, "nightly-1").await;
    let again = eventually(LIMIT, async || took() == said + 1).await;
    assert!(again, "it came again, and was the same\n{}", stage.site.log());
    assert_eq!(stage.batches().await.len(), 1);
}

async fn what_is_no_job_goes_to_the_dead_letters_with_the_reason(post: &impl Post) {
    let stage = Stage::set(post).await;
    let _worker = stage.start_worker().await;
    let mut stranger = stage.job("a", &lines(1));
    stranger["tenant"] = json!("tenant_nobody");
    let mut wordy = stage.job("d", &lines(1));
    wordy["x".repeat(100_000)] = json!(1);
    let bad = [
        (b"\xff\xfe no JSON".to_vec(), "no job"),
        (stranger.to_string().into_bytes(), "No such tenant"),
        (stage.job("b", &json!({"file_id": "file-none"})).to_string().into_bytes(), "No such File"),
        (stage.job("c", &json!({"lines": []})).to_string().into_bytes(), "1 to 256"),
        (wordy.to_string().into_bytes(), "unknown field `xxxx"),
    ];

    for (message, reason) in bad {
        post.send(&message).await;
        let (letter, said) = stage.dead_letter().await;
        assert!(said.contains(reason) && said.len() <= 1_000, "{said}");
        assert_eq!(letter, message, "as it came");
    }
    assert!(stage.batches().await.is_empty());
}

async fn an_operator_mends_the_cause_and_sends_a_dead_letter_again(post: &impl Post) {
    let stage = Stage::set(post).await;
    let _worker = stage.start_worker().await;
    let full = stage.site.limit(LimitKind::EnqueuedTokens, 1).await;
    stage.send(&stage.job("too much", &lines(3))).await;
    post.send(b"no job").await;
    let mut listed = String::new();
    let both = eventually(LIMIT, async || {
        listed = stage.dlq(&["list"]).1;
        listed.lines().count() == 2
    });
    assert!(both.await, "{listed}\n{}", stage.site.log());
    let line = listed.lines().find(|line| line.contains("token_limit_exceeded")).expect(&listed);
    let id = line.split_whitespace().next().unwrap();
    assert!(stage.dlq_at_last(&["show", id]).await.contains("too much"));
    assert!(!stage.dlq(&["drop", "0123456789ab"]).0, "there is none of that id");

    stage.site.store.delete_limit(&store::Author::cli(), &full).await.unwrap();
    assert_eq!(stage.dlq_at_last(&["redrive", id]).await, "1 sent again.\n");

    stage.told(Hears::Events, "too much").await;
    assert_eq!(stage.batches().await.len(), 1);
    let other = listed.lines().find(|line| line.contains("no job")).expect(&listed).split_whitespace().next().unwrap();
    assert_eq!(stage.dlq_at_last(&["drop", other]).await, "1 dropped.\n");
    assert_eq!(stage.dlq(&["list"]), (true, String::new()));
    assert_eq!(stage.dlq(&["drop", "--all"]), (true, "0 dropped.\n".to_owned()));
}

async fn an_object_of_a_listed_bucket_is_the_input_of_a_job(post: &impl Post) {
    let bucket = Bucket::start().await.unwrap();
    bucket.put("lines", "day 1/in.jsonl", e2e::chat_lines(300, 2));
    bucket.put("private", "in.jsonl", e2e::chat_lines(1, 2));
    let imports = vec![
        ("TANDEM__SUBMISSIONS__IMPORTS__BUCKETS", "lines".to_owned()),
        ("TANDEM__SUBMISSIONS__MAX_INPUT_BYTES", "100000".to_owned()),
    ];
    let endpoint = bucket.endpoint();
    let stage = Stage::set_with(post, &[("TANDEM__DATA__BLOBS_ENDPOINT", &endpoint)], imports).await;
    let _worker = stage.start_worker().await;
    bucket.put("lines", "large.jsonl", "x".repeat(100_001));

    for (uri, reason) in [
        ("gs://private/in.jsonl", "bucket_not_allowed: "),
        ("gs://lines/none.jsonl", "object_not_found: "),
        ("gs://lines/large.jsonl", "larger than the 100000 bytes"),
        ("https://lines/in.jsonl", "It must be gs://bucket/object. (`input.uri`)"),
    ] {
        stage.send(&stage.job("refused", &json!({"uri": uri}))).await;
        let (_, said) = stage.dead_letter().await;
        assert!(said.contains(reason), "{uri}: {said}");
    }
    stage.send(&stage.job("nightly-1", &json!({"uri": "gs://lines/day 1/in.jsonl"}))).await;

    let told = stage.told(Hears::Events, "nightly-1").await;
    assert_eq!(told[told.len() - 1]["data"]["request_counts"]["completed"], 300, "{}", stage.site.log());
    let files = stage.site.try_get(&stage.gateway, "/v1/files?purpose=batch").await.unwrap();
    let files = files["data"].as_array().unwrap();
    assert_eq!((files.len(), &files[0]["filename"]), (1, &json!("in.jsonl")));
}

/// Each story on each broker.
macro_rules! on_each_broker {
    ($($story:ident),* $(,)?) => {
        mod on_rabbitmq {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $story() {
                    use super::Post;
                    super::RabbitMq::during(async |post| super::$story(post).await).await;
                }
            )*
        }

        mod on_pubsub {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $story() {
                    use super::Post;
                    super::PubSub::during(async |post| super::$story(post).await).await;
                }
            )*
        }
    };
}

on_each_broker!(
    a_job_from_the_queue_is_a_batch_whose_sender_hears_of_it,
    a_job_that_comes_twice_is_one_batch_also_over_a_killed_worker,
    a_worker_killed_after_the_database_and_before_the_broker_makes_one_batch,
    what_is_no_job_goes_to_the_dead_letters_with_the_reason,
    an_operator_mends_the_cause_and_sends_a_dead_letter_again,
    an_object_of_a_listed_bucket_is_the_input_of_a_job,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_who_names_a_topic_that_is_not_listed_is_refused() {
    PubSub::during(async |post| {
        let stage = Stage::set(post).await;
        let _worker = stage.start_worker().await;
        // A topic that is there, and that Tandem may publish to.
        let mut job = stage.job("nightly-1", &lines(1));
        job["reply_to"] = json!("projects/tandem-test/topics/usage-events");

        stage.send(&job).await;

        let (_, said) = stage.dead_letter().await;
        assert!(said.contains("reply_to_not_allowed") && said.contains("events.reply_topics"), "{said}");
        assert!(stage.batches().await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_for_replies_that_is_gone_costs_its_sender_the_events_and_nobody_else() {
    PubSub::during(async |post| {
        let stage = Stage::set(post).await;
        let _worker = stage.start_worker().await;
        let mut job = stage.job("nightly-1", &lines(5));
        job["reply_to"] = json!(pubsub::GONE);

        stage.send(&job).await;

        stage.told(Hears::Events, "nightly-1").await;
        let empty = eventually(LIMIT, async || stage.site.store.events_state().await.unwrap().waiting == 0);
        assert!(empty.await, "{}", stage.site.log());
        assert!(stage.site.log().contains("the topic did not take the reply"), "{}", stage.site.log());
    })
    .await;
}
