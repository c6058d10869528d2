//! Gateway, orchestrator and worker as processes of their own.

use e2e::{Database, Site, chat_lines, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_stream_a_chat_and_run_a_batch() {
    let site = Site::new(Database::Postgres, 0.0).await;
    let services = site.start_services().await;
    let request = json!({"model": "tandem-sim", "stream": true, "messages": [{"role": "user", "content": "Hello"}]});

    let (status, stream) = site.ask(&services.gateway, "/v1/chat/completions", &request).await;
    let batch = format!("/v1/batches/{}", site.submit(&services.gateway, chat_lines(100, 4)).await);
    let mut last = Value::Null;
    let completed = eventually(LIMIT, async || {
        last = site.try_get(&services.gateway, &batch).await.unwrap_or_default();
        last["status"] == "completed"
    });

    assert_eq!(status, 200, "{stream}");
    let (events, comment) = stream.trim_end().rsplit_once("\n\n").unwrap();
    assert!(events.ends_with("data: [DONE]"), "{stream}");
    assert!(comment.starts_with(": tandem model=tandem-sim deployment=simulator attempts=1"), "{comment}");
    assert!(completed.await, "{last}\n{}", site.log());
    assert_eq!(last["request_counts"]["completed"], 100);
    let output = site.content(&services.gateway, last["output_file_id"].as_str().unwrap()).await;
    assert_eq!(output.lines().count(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_process_ends_cleanly_when_told() {
    let site = Site::new(Database::Postgres, 0.0).await;
    let services = site.start_services().await;
    assert!(eventually(LIMIT, async || site.log().contains("listens")).await, "{}", site.log());

    let codes = [
        services.gateway.terminate().await,
        services.worker.terminate().await,
        services.orchestrator.terminate().await,
    ];

    assert_eq!(codes, [Some(0); 3], "{}", site.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_its_orchestrator_says_that_models_are_out_of_reach() {
    let site = Site::new(Database::Postgres, 0.0).await;
    let services = site.start_services().await;
    services.orchestrator.kill();
    let request = json!({"model": "tandem-sim", "messages": [{"role": "user", "content": "Hello"}]});

    let (status, answer) = site.ask(&services.gateway, "/v1/chat/completions", &request).await;

    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("try again later"), "{answer}");
}
