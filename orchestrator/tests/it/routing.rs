//! What the router does beside failing over: late streams, hedges, copies, the cache, limits, deadlines and explanations.

use crate::{
    setup::{Setup, chat, context, deployment},
    upstream::STREAM,
};
use chassis::drain::Drain;
use domain::{Class, Kind, RequestContext, Wishes};
use futures::StreamExt;
use orchestrator::{Frame, ModelBackend, UpstreamClient, settings::ModelsSettings};
use std::time::{Duration, Instant};

const LIMIT: usize = 1 << 20;

fn model(keys: &str, scenarios: &[&str]) -> String {
    let deployments: String = scenarios.iter().enumerate().map(|(at, scenario)| deployment(scenario, at)).collect();
    format!("[[model]]\nname = \"public\"\npolicy = \"priority\"\n{keys}\n{deployments}")
}

#[tokio::test]
async fn a_stream_that_nobody_has_begun_is_begun_with_a_comment() {
    for setup in Setup::each_with(&model("commit_ms = 100", &["slow"])).await {
        let mut response = setup.backend.call(&context(), chat(true)).await.unwrap();

        assert!(response.served.is_none() && response.status == 200, "nobody has answered yet");
        let Some(Frame::Data(comment)) = response.body.next().await else { panic!("no comment") };
        assert_eq!(comment, ": keep-alive\n\n");
        setup.upstream.go_on();
        let (rest, outcome) = response.body.collect(LIMIT).await.unwrap();
        assert_eq!(rest, STREAM);
        assert_eq!(&*outcome.served.unwrap().deployment, "slow");
    }
}

#[tokio::test]
async fn a_deployment_may_still_fail_over_after_the_stream_has_begun() {
    let toml = model("commit_ms = 50", &["slow_start", "stream"]);
    for setup in Setup::each_with(&toml).await {
        let response = setup.backend.call(&context(), chat(true)).await.unwrap();

        let (text, outcome) = response.body.collect(LIMIT).await.unwrap();
        assert_eq!(std::str::from_utf8(&text).unwrap(), format!(": keep-alive\n\n{STREAM}"));
        assert_eq!(&*outcome.served.unwrap().deployment, "stream");
    }
}

#[tokio::test]
async fn the_callers_deadline_is_no_fault_of_the_server() {
    for setup in Setup::each(&["silent_patiently", "stream"]).await {
        for _ in 0..6 {
            let deadline = Some(Instant::now() + Duration::from_millis(60));
            let ctx = RequestContext { deadline, ..context() };
            let error = setup.backend.call(&ctx, chat(true)).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Timeout);
        }

        let asked = setup.upstream.calls("silent_patiently");
        let (ctx, patient) = (context(), chat(true));
        let call = setup.backend.call(&ctx, patient);
        let asked_again = async {
            while setup.upstream.calls("silent_patiently") == asked {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            answer = call => panic!("the breaker opened for the caller's impatience: {answer:?}"),
            () = asked_again => {}
        }
        assert_eq!(setup.upstream.calls("stream"), 0);
    }
}

#[tokio::test]
async fn hanging_up_reaches_the_server_within_50_ms_even_before_the_first_token() {
    for scenario in ["silent_patiently", "endless"] {
        for setup in Setup::each(&[scenario]).await {
            let ctx = context();
            let call = async {
                let mut body = setup.backend.call(&ctx, chat(true)).await.unwrap().body;
                while body.next().await.is_some() {}
            };
            tokio::select! {
                () = call => {}
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
            let begun = Instant::now();

            setup.upstream.hung_up().await;

            // Not a measure of speed: a server that is told at the end of a time limit hears it after seconds.
            assert!(begun.elapsed() < Duration::from_secs(1), "{scenario}: {:?}", begun.elapsed());
        }
    }
}

#[tokio::test]
async fn an_answer_given_before_is_given_again_only_to_the_same_tenant() {
    for setup in Setup::each_with(&model("cache_ttl_ms = 60000", &["stream"])).await {
        let ctx = context();
        let mut texts = Vec::new();
        let mut hits = Vec::new();
        for ctx in [ctx.clone(), ctx, context()] {
            let response = setup.backend.call(&ctx, chat(true)).await.unwrap();
            hits.push(response.served.as_ref().unwrap().is_cached);
            texts.push(response.body.collect(LIMIT).await.unwrap().0);
        }

        assert_eq!(hits, [false, true, false]);
        assert!(texts.iter().all(|text| text == STREAM));
        assert_eq!(setup.upstream.calls("stream"), 2);
    }
}

#[tokio::test]
async fn a_copy_goes_to_the_model_on_trial_and_changes_nothing() {
    let toml = model("shadow_model = \"trial\"", &["chat"])
        + "[[model]]\nname = \"trial\"\n"
        + &deployment("silent_patiently", 0);
    for setup in Setup::each_with(&toml).await {
        let response = setup.backend.call(&context(), chat(false)).await.unwrap();

        assert_eq!(&*response.served.unwrap().deployment, "chat");
        setup.upstream.arrived().await;
    }
}

#[tokio::test]
async fn a_hedge_is_made_when_the_first_is_slower_than_usual_and_only_within_its_share() {
    let toml = model("hedge_percent = 50", &["usually", "stream"]);
    for setup in Setup::each_with(&toml).await {
        for _ in 0..30 {
            setup.backend.call(&context(), chat(true)).await.unwrap().body.collect(LIMIT).await.unwrap();
        }
        setup.upstream.dawdle();

        let response = setup.backend.call(&context(), chat(true)).await.unwrap();

        let served = response.served.unwrap();
        assert_eq!((&*served.deployment, served.attempts), ("stream", 2), "{}", setup.name);
        setup.upstream.hung_up().await;
    }
}

#[tokio::test]
async fn a_deployment_that_is_full_is_passed_over_and_alone_it_refuses_with_a_wait() {
    let limited = |next: &[&str]| {
        model("", &[&["endless"], next].concat()).replacen("idle_ms", "max_concurrency = 1\nmax_queue = 0\nidle_ms", 1)
    };
    for setup in Setup::each_with(&limited(&["stream"])).await {
        let first = setup.backend.call(&context(), chat(true)).await.unwrap();
        let second = setup.backend.call(&context(), chat(true)).await.unwrap();

        assert_eq!(&*first.served.unwrap().deployment, "endless");
        assert_eq!(&*second.served.unwrap().deployment, "stream");
    }
    for setup in Setup::each_with(&limited(&[])).await {
        let first = setup.backend.call(&context(), chat(true)).await.unwrap();

        let error = setup.backend.call(&context(), chat(true)).await.unwrap_err();
        assert_eq!(error.code(), Some("model_at_capacity"));
        assert!(error.retry_after().is_some());
        drop(first);
        let again = async { while setup.backend.call(&context(), chat(true)).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(10), again).await.expect("the slot did not come back");
    }
}

#[tokio::test]
async fn an_operator_may_see_how_the_route_was_chosen() {
    for setup in Setup::each(&["unavailable", "stream"]).await {
        let ctx = RequestContext { wishes: Wishes { explain: true, ..Wishes::default() }, ..context() };

        let response = setup.backend.call(&ctx, chat(true)).await.unwrap();

        let explained: serde_json::Value =
            serde_json::from_str(&response.served.unwrap().explanation.unwrap()).unwrap();
        assert_eq!(explained["attempts"][0]["outcome"], "endpoint");
        assert_eq!(explained["attempts"][1]["deployment"], "stream");
        assert_eq!(explained["candidates"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_batch_request_is_marked_for_a_scheduler_that_knows_priorities() {
    let toml = model("", &["chat"]).replace("idle_ms", "priority_scheduling = true\nidle_ms");
    for setup in Setup::each_with(&toml).await {
        let ctx = RequestContext { class: Class::Batch, ..context() };

        setup.backend.call(&ctx, chat(false)).await.unwrap();

        assert!(setup.upstream.last().1.contains(r#""priority":10"#));
    }
}

#[tokio::test]
async fn a_third_party_learns_nothing_of_our_requests() {
    let toml = model("", &["chat"]).replace("engine = \"vllm\"\n", "");
    for setup in Setup::each_with(&toml).await {
        setup.backend.call(&context(), chat(false)).await.unwrap();

        let (headers, _) = setup.upstream.last();
        let names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
        assert!(
            names.iter().all(|name| ["content-type", "user-agent", "host", "content-length"].contains(name)),
            "{names:?}"
        );
    }
}

#[tokio::test]
async fn a_name_stands_for_its_addresses_and_whichever_lives_answers() {
    // On most machines this name has two addresses, of which the server listens on one.
    let toml = model("", &["stream"]).replace("http://UPSTREAM", "http://localhost:PORT");
    let toml = toml.replace("idle_ms", "discovery = \"dns\"\nidle_ms");
    let upstream = crate::upstream::Upstream::start().await;
    let toml = toml.replace("PORT", &upstream.address().port().to_string());
    let catalog = orchestrator::catalog::Catalog::parse(&toml).unwrap();
    let router = orchestrator::Router::new(catalog, UpstreamClient::new(), &ModelsSettings::default());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(orchestrator::watch(router.clone(), Drain::new(Duration::from_secs(1))));
    let ctx = RequestContext { wishes: Wishes { explain: true, ..Wishes::default() }, ..context() };

    let found = async {
        loop {
            let response = router.call(&ctx, chat(true)).await.unwrap();
            let explained = response.served.unwrap().explanation.unwrap();
            if explained.contains("\"127.0.0.1:") {
                return response.body.collect(LIMIT).await.unwrap().0;
            }
        }
    };

    let text = tokio::time::timeout(Duration::from_secs(20), found).await.expect("the addresses were not found");
    assert_eq!(text, STREAM);
}
