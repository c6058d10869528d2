//! What operators are told of deployments, by every backend.

use crate::setup::{Setup, chat, context};
use chassis::drain::Drain;
use futures::StreamExt;
use orchestrator::{DeploymentInfo, HealthInfo, LoadInfo, watch};
use std::time::Duration;
use tokio::task::JoinSet;

async fn deployments(setup: &Setup) -> Vec<DeploymentInfo> {
    setup.backend.deployments().await.unwrap()
}

/// Asks until the first deployment is as wanted.
async fn until(setup: &Setup, wanted: impl Fn(&DeploymentInfo) -> bool) -> DeploymentInfo {
    let asking = async {
        loop {
            let first = deployments(setup).await.remove(0);
            if wanted(&first) {
                return first;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("it never came to that")
}

#[tokio::test]
async fn the_deployments_are_told_as_the_catalog_has_them() {
    for setup in Setup::each(&["chat", "stream"]).await {
        let told = deployments(&setup).await;

        let [first, second] = &told[..] else { panic!("{told:?}") };
        assert_eq!((first.model.as_str(), first.name.as_str(), second.name.as_str()), ("public", "chat", "stream"));
        assert_eq!((first.priority, second.priority, first.weight), (0, 1, 1));
        assert_eq!((first.provider.as_str(), first.engine.as_str()), ("openai", "vllm"));
        assert_eq!(
            (first.upstream_model.as_str(), first.apis.join(" ").as_str()),
            ("tiny", "chat completions embeddings")
        );
        let endpoint = &first.endpoints[0];
        assert_eq!(endpoint.address, setup.upstream.address().to_string());
        assert_eq!((endpoint.breaker.as_str(), endpoint.resting_ms, endpoint.load), ("closed", None, None));
    }
}

#[tokio::test]
async fn calls_are_counted_while_they_run() {
    for setup in Setup::each(&["endless"]).await {
        let mut body = setup.backend.call(&context(), chat(true)).await.unwrap().body;
        body.next().await;

        let busy = deployments(&setup).await.remove(0);
        drop(body);

        assert_eq!((busy.in_flight, busy.endpoints[0].in_flight), (1, 1));
        assert!(busy.endpoints[0].first_token_ms.is_some());
        until(&setup, |idle| idle.in_flight == 0).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_failed_too_often_is_told_as_open() {
    for setup in Setup::each(&["unavailable", "stream"]).await {
        let failing = async {
            while deployments(&setup).await[0].endpoints[0].breaker != "open" {
                setup.backend.call(&context(), chat(true)).await.unwrap().body.collect(1 << 20).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), failing).await.expect("the breaker never opened");

        let told = deployments(&setup).await;
        assert!(told[0].endpoints[0].resting_ms.is_some(), "{told:?}");
        assert_eq!(told[1].endpoints[0].breaker, "closed");
    }
}

#[tokio::test]
async fn what_a_server_says_of_itself_is_told_with_its_age() {
    for setup in Setup::each(&["chat"]).await {
        let mut tasks = JoinSet::new();
        tasks.spawn(watch(setup.router.as_ref().clone(), Drain::new(Duration::from_secs(1))));

        let told = until(&setup, |told| told.endpoints[0].health.is_some()).await;

        let HealthInfo { state, age_ms } = told.endpoints[0].health.clone().unwrap();
        assert!(state == "alive" && age_ms < 20_000, "{told:?}");
        let LoadInfo { running, waiting, kv_usage, age_ms } = told.endpoints[0].load.unwrap();
        assert_eq!((running, waiting, kv_usage), (3.0, 1.0, 0.25));
        assert!(age_ms < 20_000);
    }
}
