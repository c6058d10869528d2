//! `kill -9` at random moments: no line is lost and none is answered twice.

use e2e::{Database, Process, Site, chat_lines, eventually};
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
    prove(&site, &process, last["id"].as_str().unwrap());
    let redone = site.simulator.stats().requests - LINES as u64;
    let reported = last["usage"]["redone_requests"].as_u64().unwrap();
    println!("{database:?}: {KILLS} kills, {LINES} lines, {redone} model calls redone, {reported} reported");
    assert!(0 < reported && reported <= redone, "what is reported was asked");
}

/// Holds the files against the input and against the audit, as a user would.
fn prove(site: &Site, process: &Process, batch: &str) {
    let run = |args: &[&str]| {
        let done = site.command(&[&["batch"], args].concat(), process, &site.key);
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let audit = run(&["audit", batch]);
    std::fs::write(site.folder().join("audit.json"), &audit).unwrap();
    std::fs::write(site.folder().join("in.jsonl"), chat_lines(LINES, 20)).unwrap();
    run(&["download", batch, "--output", "out.jsonl"]);

    let proven = run(&["verify", "--input", "in.jsonl", "--output", "out.jsonl", "--audit", "audit.json"]);

    assert!(proven.starts_with(&format!("{LINES} lines, each with one record")), "{proven}");
    let totals = &serde_json::from_str::<Value>(&audit).unwrap()["totals"];
    assert!(totals["leases"].as_i64() > totals["shards"].as_i64(), "kills cost leases: {totals}");
    println!("{totals}");
}

fn custom_id(line: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()["custom_id"].as_str().unwrap().to_owned()
}
