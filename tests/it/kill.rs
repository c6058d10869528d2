//! `kill -9` at random moments: no line is lost and none is answered twice.

use e2e::{Database, Site, chat_lines, eventually};
use rand::RngExt;
use serde_json::Value;
use std::time::Duration;

const LINES: usize = 3_000;
const KILLS: usize = 10;
const LIMIT: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_lose_and_double_nothing_on_sqlite() {
    ten_kills_lose_and_double_nothing(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_lose_and_double_nothing_on_postgres() {
    ten_kills_lose_and_double_nothing(Database::Postgres).await;
}

async fn ten_kills_lose_and_double_nothing(database: Database) {
    let site = Site::new(database, 100.0).await;
    let mut process = site.start().await;
    let batch = format!("/v1/batches/{}", site.submit(&process, chat_lines(LINES, 20)).await);

    for _ in 0..KILLS {
        let asked = site.simulator.stats().requests;
        assert!(eventually(LIMIT, async || site.simulator.stats().requests > asked).await, "{}", site.log());
        // The moment has to be random; nothing is waited for here.
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..500))).await;
        process.kill();
        process = site.start().await;
    }

    let mut last = Value::Null;
    let completed = eventually(LIMIT, async || {
        last = site.try_get(&process, &batch).await.unwrap_or_default();
        last["status"] == "completed"
    });
    assert!(completed.await, "{last}\n{}", site.log());
    if let Some(errors) = last["error_file_id"].as_str() {
        panic!("{}\n{}", site.content(&process, errors).await, site.log());
    }
    let output = site.content(&process, last["output_file_id"].as_str().unwrap()).await;
    let ids: Vec<String> = output.lines().map(custom_id).collect();
    let expected: Vec<String> = (0..LINES).map(|n| format!("line-{n}")).collect();
    assert_eq!(ids, expected);
    let redone = site.simulator.stats().requests - LINES as u64;
    println!(
        "{database:?}: {KILLS} kills, {LINES} lines, {redone} model calls redone, {} reported",
        last["usage"]["redone_requests"]
    );
}

fn custom_id(line: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()["custom_id"].as_str().unwrap().to_owned()
}
