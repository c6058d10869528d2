//! Gateway, orchestrator and worker as processes of their own, and all of them in one.

use e2e::{Database, Site, eventually, scenarios};
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_take_the_first_steps() {
    let site = Site::new(Database::Postgres, 0.0).await;
    let services = site.start_services().await;

    scenarios::first_steps(&site.api(&services.gateway)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_takes_the_same_steps() {
    let site = Site::new(Database::Sqlite, 0.0).await;
    let process = site.start().await;

    scenarios::first_steps(&site.api(&process)).await;
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
