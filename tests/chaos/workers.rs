//! What happens to workers.

use crate::{
    cluster::{Cluster, LIMIT, LINES, Seen},
    rows,
};
use async_trait::async_trait;
use chassis::drain::Drain;
use domain::RequestContext;
use e2e::{Database, Site, eventually};
use http::{HeaderMap, header::CONTENT_TYPE};
use orchestrator::{DeploymentInfo, ModelBackend, ModelBody, ModelInfo, ModelRequest, ModelResponse, Outcome};
use queue::Embedded;
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use store::Blobs;
use tokio::time::{MissedTickBehavior, interval, sleep};
use worker::{Worker, WorkerSettings};

/// Calls that the model server runs at once.
const SEQUENCES: u64 = 64;

rows! {
    a_worker_is_killed, "kill -9 of one of three workers", "the lease lapses and others go on", "1, 2, 5, 11, 13";
    all_workers_are_killed, "kill -9 of all workers, new ones start", "nothing waits for the dead", "2, 8, 9, 10, 11";
    a_worker_is_frozen, "SIGSTOP of a worker for 45 s, then it goes on", "nothing is written under its stale lease", "15 to 19, 22, 24";
    a_worker_is_told_to_stop, "SIGTERM of a worker", "it exits with 0; only calls it gave up are made again", "6, 51";
    a_spot_machine_is_taken_back, "SIGTERM of a worker whose calls take 5 s, SIGKILL 15 s later", "within 2 s of its grace all it held is at work elsewhere; only calls it gave up are made again", "6, 51";
    calls_panic, "every fiftieth call panics in the worker", "the line is asked again; the worker lives", "3, 4";
    a_worker_is_killed_every_ten_seconds, "kill -9 of one of three workers every 10 s, 20,000 lines", "at most 2 % of the calls are made again", "1, 5, 31";
}

async fn a_worker_is_killed() -> Seen {
    let mut cluster = Cluster::under_way().await;

    cluster.workers.remove(0).kill();

    cluster.completed().await
}

async fn all_workers_are_killed() -> Seen {
    let mut cluster = Cluster::under_way().await;

    cluster.workers.drain(..).for_each(e2e::Process::kill);
    cluster.start_worker().await;

    cluster.completed().await
}

async fn a_worker_is_frozen() -> Seen {
    let cluster = Cluster::under_way().await;

    cluster.workers[0].signal("STOP");
    sleep(Duration::from_secs(45)).await;
    cluster.workers[0].signal("CONT");

    cluster.completed().await
}

async fn a_worker_is_told_to_stop() -> Seen {
    let mut cluster = Cluster::under_way().await;

    let code = cluster.workers.remove(0).terminate().await;

    assert_eq!(code, Some(0));
    let seen = cluster.completed().await;
    assert!(seen.answered <= seen.lines as u64 + SEQUENCES, "nothing is made again but what was under way: {seen}");
    seen
}

async fn a_spot_machine_is_taken_back() -> Seen {
    /// Two shards, which the only worker takes both.
    const LINES: usize = 400;
    /// `worker.drain_grace_ms`, and 2 s.
    const HANDED_OVER: i64 = 1_500 + 2_000;
    const SPOT: i64 = 15_000;
    let site = Site::new(Database::Postgres, 4.0).await;
    let upstream = format!("{}/v1", site.upstream_root());
    let mut cluster = Cluster::on(site, &upstream, &[&[]], "").await.submit(LINES).await;
    let owners = |cluster: &Cluster| {
        cluster.site.look_up("SELECT string_agg(DISTINCT COALESCE(owner, '-'), ',') FROM shards WHERE status <> 'done'")
    };
    let taken_back = owners(&cluster);
    assert!(!taken_back.contains([',', '-']), "{taken_back}");
    for _ in 0..2 {
        cluster.start_worker().await;
    }

    let worker = cluster.workers.remove(0);
    let told = cluster.site.store.now_ms().await.unwrap();
    worker.signal("TERM");
    let is_handed_over = async || owners(&cluster).split(',').all(|owner| owner != "-" && owner != taken_back);
    assert!(eventually(LIMIT, is_handed_over).await, "{}", cluster.site.log());
    // When the leases of the others began, or were renewed since.
    let begun = cluster.site.look_up("SELECT max(lease_until_ms) - 5000 FROM shards WHERE status = 'leased'");
    let handed_over = begun.parse::<i64>().unwrap() - told;
    let code = worker.exit().await;
    let gone = cluster.site.store.now_ms().await.unwrap() - told;

    let seen = cluster.completed().await;
    println!("handed over after {handed_over} ms, gone after {gone} ms");
    assert!(handed_over <= HANDED_OVER && gone <= SPOT, "{handed_over} ms, {gone} ms");
    let batch = cluster.batch().await;
    assert_eq!((code, &batch["usage"]["redone_requests"]), (Some(0), &Value::from(seen.asked - LINES as u64)));
    assert!(seen.asked > LINES as u64, "calls were given up");
    assert_eq!(cluster.site.look_up("SELECT sum(crashes) FROM shards"), "0", "no lease lapsed");
    seen
}

/// Asks the model server, and panics on every fiftieth call.
struct Panics {
    client: reqwest::Client,
    url: String,
    calls: AtomicU64,
}

#[async_trait]
impl ModelBackend for Panics {
    async fn call(&self, _: &RequestContext, request: ModelRequest) -> domain::Result<ModelResponse> {
        assert!(self.calls.fetch_add(1, Ordering::Relaxed) % 50 != 49, "as it was told");
        let asked = self.client.post(&self.url).header(CONTENT_TYPE, "application/json").body(request.body).send();
        let answer = asked.await.map_err(domain::Error::internal)?;
        let status = answer.status();
        let body = ModelBody::whole(answer.bytes().await.map_err(domain::Error::internal)?, Outcome::default());
        Ok(ModelResponse { served: None, status, headers: HeaderMap::new(), body })
    }

    async fn models(&self) -> domain::Result<Vec<ModelInfo>> {
        Ok(vec![ModelInfo { id: "tandem-sim".to_owned(), ..ModelInfo::default() }])
    }

    async fn deployments(&self) -> domain::Result<Vec<DeploymentInfo>> {
        Ok(Vec::new())
    }
}

/// In this process, since no setting of a worker makes it panic.
async fn calls_panic() -> Seen {
    let cluster = Cluster::with_workers(&[], "").await;
    let site = &cluster.site;
    let url = format!("{}/v1/chat/completions", site.upstream_root());
    let backend = Panics { client: site.client().clone(), url, calls: AtomicU64::default() };
    let blobs = Blobs::open(&format!("file://{}", site.folder().join("blobs").display())).unwrap();
    let settings =
        WorkerSettings { lease_ms: 5_000, heartbeat_ms: 300, poll_ms: 300, sweep_ms: 300, ..Default::default() };
    let doorbell = Arc::new(Embedded::new(site.store.clone()));
    let drain = Drain::new(Duration::from_secs(5));
    let worker = Worker::new(site.store.clone(), blobs, doorbell, Arc::new(backend), settings);
    let working = tokio::spawn(worker.run(drain.clone()));

    let cluster = cluster.submit(LINES).await;

    let seen = cluster.completed().await;
    assert!(!working.is_finished(), "the worker lives");
    drain.begin();
    working.await.unwrap().unwrap();
    seen
}

async fn a_worker_is_killed_every_ten_seconds() -> Seen {
    let cluster = Cluster::with_workers(&[&[], &[], &[]], "").await;
    let mut cluster = cluster.submit(20_000).await;
    let mut kills = 0;
    let mut ticks = interval(Duration::from_secs(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);

    while cluster.batch().await["status"] != "completed" {
        ticks.tick().await;
        cluster.workers.remove(0).kill();
        cluster.start_worker().await;
        kills += 1;
    }

    let seen = cluster.completed().await;
    println!("{kills} kills");
    assert!(seen.asked <= seen.lines as u64 * 102 / 100, "{seen}");
    assert!(eventually(LIMIT, async || cluster.site.simulator.stats().running == 0).await);
    seen
}
