//! What happens to workers.

use crate::{
    cluster::{Cluster, LIMIT, Seen},
    rows,
};
use e2e::eventually;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Calls that the model server runs at once.
const SEQUENCES: u64 = 64;

rows! {
    a_worker_is_killed, "kill -9 of one of three workers", "the lease lapses and others go on", "1, 2, 5, 11, 13";
    all_workers_are_killed, "kill -9 of all workers, new ones start", "nothing waits for the dead", "2, 8, 9, 10, 11";
    a_worker_is_frozen, "SIGSTOP of a worker for 45 s, then it goes on", "nothing is written under its stale lease", "15 to 19, 22, 24";
    a_worker_is_told_to_stop, "SIGTERM of a worker", "it exits with 0; only calls it gave up are made again", "6, 51";
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
