//! Workers that come and go in good order: what they hold is somebody else's at once, and what waits is told while there is none.

use e2e::{Database, Process, Site, chat_lines, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Fewer than an endpoint is first believed to carry: all of them are in flight at once.
const LINES: usize = 6;
/// Nothing here happens because a lease lapsed, somebody polled or swept.
const NEVER: [(&str, &str); 4] = [
    ("TANDEM__WORKER__LEASE_MS", "3600000"),
    ("TANDEM__WORKER__HEARTBEAT_MS", "3600000"),
    ("TANDEM__WORKER__POLL_MS", "3600000"),
    ("TANDEM__WORKER__SWEEP_MS", "3600000"),
];

/// The services with a batch whose calls all hang, and nobody to answer them.
struct Stage {
    site: Site,
    orchestrator: Process,
    gateway: Process,
    batch: String,
}

impl Stage {
    async fn set() -> Self {
        let site = Site::new(Database::Postgres, 0.0).await;
        let gateway = site.start_gateways_with(1, &[("TANDEM__GATEWAY__BACKLOG_MS", "50")]).await.remove(0);
        let upstream = format!("{}/v1", site.upstream_root());
        let orchestrator = site.start_orchestrator(&upstream, "engine = \"vllm\"\n");
        let batch = format!("/v1/batches/{}", site.submit(&gateway, chat_lines(LINES, 4)).await);
        let hang = json!({"fault": "hang", "probability": 1.0});
        let armed = site.client().post(format!("{}/sim/faults", site.upstream_root())).json(&hang).send().await;
        armed.unwrap().error_for_status().unwrap();
        Self { site, orchestrator, gateway, batch }
    }

    async fn worker(&self) -> Process {
        self.site.start_worker_of(&self.orchestrator, &NEVER)
    }

    /// Waits until the model server has been asked every line so many times.
    async fn until_asked(&self, times: usize) {
        let asked = async || self.site.simulator.stats().requests == (times * LINES) as u64;
        assert!(eventually(LIMIT, asked).await, "{:?}\n{}", self.site.simulator.stats(), self.site.log());
    }

    async fn gauge(&self, name: &str) -> Option<f64> {
        let page = self.site.metrics(&self.gateway).await;
        page.lines().find(|line| line.starts_with(name))?.rsplit(' ').next()?.parse().ok()
    }

    async fn until_told(&self, name: &str, is_so: fn(f64) -> bool) {
        let told = async || self.gauge(name).await.is_some_and(is_so);
        assert!(eventually(LIMIT, told).await, "{name}: {}", self.site.metrics(&self.gateway).await);
    }

    /// Answers what is asked from now on, and waits for the end.
    async fn end(&self) -> Value {
        let faults = format!("{}/sim/faults", self.site.upstream_root());
        self.site.client().delete(faults).send().await.unwrap().error_for_status().unwrap();
        let mut batch = Value::Null;
        let completed = async || {
            batch = self.site.try_get(&self.gateway, &self.batch).await.unwrap_or_default();
            batch["status"] == "completed"
        };
        assert!(eventually(LIMIT, completed).await, "{batch}\n{}", self.site.log());
        assert_eq!(batch["request_counts"]["completed"], LINES);
        batch
    }

    /// Leases that ended without a word, over all shards, and how many there were at all.
    async fn leases(&self) -> (i64, i64) {
        let id = self.batch.rsplit('/').next().unwrap();
        let sums = self.site.store.shard_sums(&domain::BatchId::from_string(id)).await.unwrap();
        (sums.crashes, sums.leases)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_that_goes_holds_is_rung_and_begun_by_another_one_at_once() {
    let stage = Stage::set().await;
    let first = stage.worker().await;
    stage.until_asked(1).await;
    let second = stage.worker().await;
    stage.until_told("tandem_batch_leased_shards", |shards| shards == 1.0).await;

    let code = first.terminate().await;

    stage.until_asked(2).await;
    assert_eq!((code, stage.leases().await), (Some(0), (0, 2)));
    second.terminate().await;
    let _third = stage.worker().await;
    let batch = stage.end().await;
    let asked = stage.site.simulator.stats().requests;
    assert_eq!(batch["usage"]["redone_requests"], asked - LINES as u64, "what they gave up, and nothing else");
    assert_eq!(stage.leases().await, (0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_while_there_is_no_worker_and_is_told_and_the_next_one_ends_it() {
    let stage = Stage::set().await;
    stage.until_told("tandem_batch_unsettled", |batches| batches == 1.0).await;
    let first = stage.worker().await;
    stage.until_asked(1).await;

    let code = first.terminate().await;
    stage.until_told("tandem_batch_leased_shards", |shards| shards == 0.0).await;
    stage.until_told("tandem_batch_runnable_work_tokens", |tokens| tokens > 0.0).await;
    let _second = stage.worker().await;
    let batch = stage.end().await;

    assert_eq!(code, Some(0));
    assert_eq!(batch["usage"]["redone_requests"], LINES);
    stage.until_told("tandem_batch_runnable_work_tokens", |tokens| tokens == 0.0).await;
    stage.until_told("tandem_batch_unsettled", |batches| batches == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_a_killed_worker_had_under_way_are_counted_as_the_model_server_counts_them() {
    let stage = Stage::set().await;
    let hasty = [("TANDEM__WORKER__LEASE_MS", "3000")];
    let first = stage.site.start_worker_of(&stage.orchestrator, &hasty);
    stage.until_asked(1).await;
    let told = async || {
        let id = domain::BatchId::from_string(stage.batch.rsplit('/').next().unwrap());
        let shards = stage.site.store.shards(&id).await.unwrap();
        shards.iter().filter_map(|shard| shard.asked.as_ref()).map(domain::Bitmap::count).sum::<usize>() == LINES
    };
    assert!(eventually(LIMIT, told).await, "{}", stage.site.log());

    first.kill();
    let _second = stage.site.start_worker_of(&stage.orchestrator, &hasty);
    let batch = stage.end().await;

    let asked = stage.site.simulator.stats().requests;
    assert_eq!(asked, 2 * LINES as u64);
    assert_eq!(batch["usage"]["redone_requests"], asked - LINES as u64);
    assert_eq!(stage.leases().await, (1, 2));
}
