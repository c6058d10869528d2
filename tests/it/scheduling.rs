//! Batches whose owners change their minds, and what tells how many workers are needed, between processes.

use e2e::{Database, Process, Site, chat_lines, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

async fn gauge(site: &Site, process: &Process, name: &str) -> Option<f64> {
    let page = site.metrics(process).await;
    let line = page.lines().find(|line| line.starts_with(name))?.to_owned();
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_without_any_worker() {
    let site = Site::new(Database::Postgres, 0.0).await;
    let gateways = site.start_gateways_with(1, &[("TANDEM__GATEWAY__BACKLOG_MS", "50")]).await;

    site.submit(&gateways[0], chat_lines(10, 4)).await;

    let told = async || gauge(&site, &gateways[0], "tandem_batch_unsettled").await == Some(1.0);
    assert!(eventually(LIMIT, told).await, "{}", site.metrics(&gateways[0]).await);
    for name in ["tandem_batch_runnable_work_tokens", "tandem_batch_leased_shards", "tandem_batch_oldest_seconds"] {
        assert_eq!(gauge(&site, &gateways[0], name).await, Some(0.0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_reaches_a_worker_in_another_process_and_loses_nothing() {
    const LINES: usize = 2_000;
    let site = Site::new(Database::Postgres, 100.0).await;
    let services = site.start_services().await;
    let path = format!("/v1/batches/{}", site.submit(&services.gateway, chat_lines(LINES, 20)).await);
    let batch = async || site.try_get(&services.gateway, &path).await.unwrap_or_default();
    let begun = eventually(LIMIT, async || batch().await["request_counts"]["completed"].as_u64() > Some(0)).await;
    assert!(begun, "{}", site.log());

    let (status, paused) = site.ask(&services.gateway, &format!("{path}/pause"), &json!({})).await;
    let quiet = async || site.store.backlog().await.unwrap().leased_shards == 0;
    let let_go = eventually(LIMIT, quiet).await;
    let stopped = batch().await;
    site.ask(&services.gateway, &format!("{path}/resume"), &json!({})).await;
    let mut last = Value::Null;
    let completed = eventually(LIMIT, async || {
        last = batch().await;
        last["status"] == "completed"
    });

    assert!(status == 200 && let_go, "{paused}\n{}", site.log());
    assert_eq!(stopped["status"], "in_progress");
    assert!(stopped["request_counts"]["completed"].as_u64() < Some(LINES as u64), "{stopped}");
    assert!(completed.await, "{last}\n{}", site.log());
    assert_eq!(last["request_counts"]["completed"], LINES);
    assert_eq!(last["usage"]["redone_requests"], 0, "what was in flight finished");
}
