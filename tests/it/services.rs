//! Gateway, orchestrator and worker as processes of their own.

use e2e::{Database, Site, eventually, scenarios};
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_stream_a_chat_and_run_a_batch() {
    let site = Site::new(Database::Postgres, 0.0).await;
    let services = site.start_services().await;
    let api = site.api(&services.gateway);

    scenarios::a_chat_is_answered(&api).await;
    scenarios::a_chat_is_streamed(&api).await;
    scenarios::a_batch_completes(&api, 100).await;
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
