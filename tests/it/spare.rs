//! People who wait and a batch on one model server that both would fill.

use crate::storm::{self, SOON};
use e2e::{Database, Site, chat_lines, eventually};
use futures::future::join_all;
use serde_json::{Value, json};

/// More lines than run at once, by far.
const LINES: usize = 600;
/// What the simulator runs at once.
const SEQUENCES: f64 = 64.0;
const STREAMS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn batch_fills_a_model_server_and_gives_way_to_those_who_wait() {
    let site = Site::new(Database::Postgres, 20.0).await;
    let services = site.start_services_with("engine = \"vllm\"\n").await;
    let batch = format!("/v1/batches/{}", site.submit(&services.gateway, chat_lines(LINES, 100)).await);
    // It has been found to be full.
    let is_known = async || {
        let page = site.metrics(&services.orchestrator).await;
        let room = sample(&page, "tandem_batch_room{");
        room.is_some_and(|room| (SEQUENCES - 4.0..SEQUENCES).contains(&room))
    };
    assert!(eventually(SOON, is_known).await, "{}", site.metrics(&services.orchestrator).await);

    let streams = (0..STREAMS).map(|n| storm::ask(&site, &services.gateway.url, storm::question(n), true));
    let answered = join_all(streams).await;

    assert_eq!(answered, [200; STREAMS]);
    let page = site.metrics(&services.orchestrator).await;
    let gave_way = page.lines().any(|line| line.starts_with("tandem_attempts_total") && line.contains("yielded"));
    assert!(gave_way, "{page}");
    let mut last = Value::Null;
    let ended = async || {
        last = site.try_get(&services.gateway, &batch).await.unwrap_or_default();
        last["status"] == "completed"
    };
    assert!(eventually(SOON * 3, ended).await, "{last}\n{}", site.log());
    let counts = json!({"total": LINES, "completed": LINES, "failed": 0});
    assert!(counts.as_object().unwrap().iter().all(|(name, count)| last["request_counts"][name] == *count), "{last}");
}

fn sample(page: &str, start: &str) -> Option<f64> {
    page.lines().find(|line| line.starts_with(start))?.rsplit(' ').next()?.parse().ok()
}
