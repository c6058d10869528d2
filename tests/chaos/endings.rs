//! Ends that meet, and ends that are interrupted.

use crate::{
    cluster::{Cluster, LIMIT, LINES, Seen},
    rows,
};
use e2e::eventually;
use rand::RngExt;
use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

rows! {
    a_cancel_races_the_end, "ten batches are cancelled about when they end", "each has one end, with one time", "25, 26";
    the_window_closes, "the window of a batch closes while it is at work", "what was answered is kept, the others are told so", "29, 31";
    who_assembles_the_files_is_killed, "kill -9 of every worker while the files are assembled", "files appear with the status", "7, 25";
}

const RACES: usize = 10;
const SHORT: usize = 200;

async fn a_cancel_races_the_end() -> Seen {
    let mut cluster = Cluster::with_workers(&[&[], &[], &[]], "").await;
    let (mut lines, mut cancelled) = (0, 0);
    for _ in 0..RACES {
        let before = cluster.site.simulator.stats().completed;
        cluster = cluster.submit(SHORT).await;
        cluster.until_answered(before + SHORT as u64 * 9 / 10).await;
        // The moment has to be random; nothing is waited for here.
        sleep(Duration::from_millis(rand::rng().random_range(0..400))).await;

        cluster.cancel().await;

        let batch = cluster.ended().await;
        cancelled += usize::from(batch["status"] == "cancelled");
        lines += SHORT;
    }
    println!("{cancelled} of {RACES} were cancelled, the others completed");
    Seen { lines, ..cluster.seen(&Value::Null) }
}

async fn the_window_closes() -> Seen {
    let cluster = Cluster::under_way().await;

    cluster.site.execute(
        "UPDATE batches SET expires_at_ms = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) + 2000",
    );

    let batch = cluster.ended().await;
    let count = |name: &str| batch["request_counts"][name].as_u64().unwrap();
    assert_eq!(batch["status"], "expired");
    assert!(count("completed") > 0 && count("expired") > 0 && count("failed") == 0, "{batch}");
    cluster.seen(&batch)
}

async fn who_assembles_the_files_is_killed() -> Seen {
    let mut cluster = Cluster::under_way().await;

    let is_ending = async || cluster.batch().await["status"] != "in_progress";
    assert!(eventually(LIMIT, is_ending).await, "{}", cluster.site.log());
    cluster.workers.drain(..).for_each(e2e::Process::kill);
    cluster.start_worker().await;

    let files = cluster.ended().await["output_file_id"].clone();
    assert!(files.is_string());
    let seen = cluster.completed().await;
    assert_eq!(seen.lines, LINES);
    seen
}
