//! Conformance of every backend, in this process and behind HTTP, against a real server that replays recorded answers.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod access;
mod deployments;
mod dialects;
mod routing;
mod scenarios;
mod setup;
mod upstream;

use domain::{Kind, Usage};
use futures::StreamExt;
use orchestrator::{Dialect, Frame, ModelRequest, ModelResponse, Sending, discover};
use setup::{Setup, chat, context};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

const LIMIT: usize = 1 << 20;
const CHAT: &str = include_str!("fixtures/chat.json");
const STREAM: &str = include_str!("fixtures/stream.sse");
const COMPLETIONS: &str = include_str!("fixtures/completions.sse");

fn served(response: &ModelResponse) -> (String, u32) {
    let served = response.served.clone().unwrap();
    (served.deployment.to_string(), served.attempts)
}

#[tokio::test]
async fn a_whole_answer_passes_unchanged() {
    for setup in Setup::each(&["chat"]).await {
        let response = setup.backend.call(&context(), chat(false)).await.unwrap();

        assert_eq!((response.status.as_u16(), served(&response)), (200, ("chat".to_owned(), 1)));
        assert_eq!(response.headers["content-type"], "application/json");
        let (body, outcome) = response.body.collect(LIMIT).await.unwrap();
        assert_eq!(body, CHAT);
        assert_eq!(outcome.usage, Some(Usage { input: 17, output: 4, ..Usage::default() }));
        assert_eq!((outcome.finish.as_deref(), outcome.error.is_none()), (Some("length"), true));
    }
}

#[tokio::test]
async fn the_server_gets_the_body_with_its_own_name_of_the_model() {
    for setup in Setup::each(&["chat"]).await {
        let ctx = context();
        setup.backend.call(&ctx, chat(false)).await.unwrap();

        let (headers, body) = setup.upstream.last();
        assert_eq!(
            body,
            setup::CHAT_BODY.replace(r#""model" : "public""#, r#""model" : "tiny""#).replace("STREAM", "false")
        );
        assert_eq!(headers["x-request-id"], ctx.request_id.as_str());
        assert_eq!(headers["traceparent"], ctx.traceparent().unwrap());
    }
}

#[tokio::test]
async fn whoever_wants_to_know_is_told_when_a_request_goes_out_and_only_then() {
    let told = Arc::new(AtomicU32::default());
    let asking = |request: ModelRequest| {
        let told = told.clone();
        ModelRequest { sending: Some(Sending::new(move || _ = told.fetch_add(1, Ordering::Relaxed))), ..request }
    };
    for setup in Setup::each(&["silent_patiently"]).await {
        let ctx = context();
        tokio::select! {
            _ = setup.backend.call(&ctx, asking(chat(false))) => panic!("nobody answers"),
            // The answer is still to come.
            () = async { while told.load(Ordering::Relaxed) == 0 { tokio::task::yield_now().await } } => {}
        }
        told.store(0, Ordering::Relaxed);

        let unknown = setup.backend.call(&ctx, asking(setup::parse(Dialect::Chat, r#"{"model":"nope"}"#))).await;

        assert_eq!((unknown.unwrap_err().kind(), told.load(Ordering::Relaxed)), (Kind::NotFound, 0), "{}", setup.name);
    }
}

#[tokio::test]
async fn a_stream_passes_unchanged_in_whole_events() {
    for setup in Setup::each(&["stream"]).await {
        let mut body = setup.backend.call(&context(), chat(true)).await.unwrap().body;

        let mut text = String::new();
        let mut end = None;
        while let Some(frame) = body.next().await {
            match frame {
                Frame::Data(bytes) => {
                    assert!(bytes.ends_with(b"\n\n"), "{bytes:?}");
                    text.push_str(std::str::from_utf8(&bytes).unwrap());
                }
                Frame::End(outcome) => end = Some(outcome),
            }
        }
        assert_eq!(text, STREAM);
        let outcome = end.unwrap();
        assert_eq!(outcome.usage, Some(Usage { input: 17, output: 3, ..Usage::default() }));
        assert_eq!((outcome.finish.as_deref(), outcome.error.is_none()), (Some("length"), true));
    }
}

#[tokio::test]
async fn every_dialect_has_its_own_path() {
    for setup in Setup::each(&["completions"]).await {
        let response = setup.backend.call(&context(), setup::request(Dialect::Completions, true)).await.unwrap();

        assert_eq!(response.body.collect(LIMIT).await.unwrap().0, COMPLETIONS);
    }
}

#[tokio::test]
async fn a_failure_before_the_first_byte_goes_to_the_next_deployment() {
    for failing in ["busy", "refused", "overloaded", "unauthorized", "silent", "cut_whole", "error_in_200", "reset"] {
        for setup in Setup::each(&[failing, "stream"]).await {
            let response = setup.backend.call(&context(), chat(true)).await.unwrap();

            assert_eq!(served(&response), ("stream".to_owned(), 2), "{failing}");
            assert_eq!(response.body.collect(LIMIT).await.unwrap().0, STREAM, "{failing}");
        }
    }
}

#[tokio::test]
async fn when_every_deployment_fails_the_last_failure_is_told() {
    let cases = [
        ("busy", Kind::Unavailable),
        ("refused", Kind::Unavailable),
        ("overloaded", Kind::RateLimited { retry_after: Some(Duration::from_secs(7)) }),
        ("unauthorized", Kind::BadUpstream),
        ("silent", Kind::Timeout),
        ("cut_whole", Kind::BadUpstream),
        ("error_in_200", Kind::BadUpstream),
    ];
    for (failing, kind) in cases {
        for setup in Setup::each(&[failing]).await {
            let error = setup.backend.call(&context(), chat(true)).await.unwrap_err();

            assert_eq!(error.kind(), kind, "{failing}: {error}");
        }
    }
}

#[tokio::test]
async fn a_request_the_caller_has_to_mend_is_no_reason_to_fail_over() {
    for setup in Setup::each(&["too_long", "chat"]).await {
        let response = setup.backend.call(&context(), chat(true)).await.unwrap();

        assert_eq!((response.status.as_u16(), served(&response).0.as_str()), (400, "too_long"));
        let (body, _) = response.body.collect(LIMIT).await.unwrap();
        let told: wire::error::ErrorBody = serde_json::from_slice(&body).unwrap();
        assert_eq!(told.error.code.as_deref(), Some("context_length_exceeded"));
        assert!(told.error.message.contains("2048 tokens"), "{told:?}");
    }
}

#[tokio::test]
async fn a_model_that_the_server_lacks_is_told_without_its_names() {
    for setup in Setup::each(&["unknown_model"]).await {
        let response = setup.backend.call(&context(), chat(false)).await.unwrap();

        assert_eq!(response.status, 404);
        let (body, _) = response.body.collect(LIMIT).await.unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.contains("`public`") && text.contains("model_not_found") && !text.contains("tiny"), "{text}");
    }
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    for setup in Setup::each(&["chat"]).await {
        let request = setup::parse(Dialect::Chat, r#"{"model":"nope"}"#);

        let error = setup.backend.call(&context(), request).await.unwrap_err();

        assert_eq!(
            (error.kind(), error.code(), error.param()),
            (Kind::NotFound, Some("model_not_found"), Some("model"))
        );
        assert_eq!(error.message(), "The model `nope` does not exist or you do not have access to it.");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_no_end_marker() {
    for failing in ["cut", "dies", "stalls", "no_done"] {
        for setup in Setup::each(&[failing, "stream"]).await {
            let response = setup.backend.call(&context(), chat(true)).await.unwrap();
            setup.upstream.go_on();

            let (body, outcome) = response.body.collect(LIMIT).await.unwrap();
            let events = wire::sse::Decoder::new(LIMIT).feed(&body).unwrap();
            let last: wire::error::ErrorBody = serde_json::from_str(&events.last().unwrap().data).unwrap();
            assert_eq!(last.error.message, outcome.error.unwrap().message(), "{failing}");
            assert!(events.len() > 1 && events.iter().all(|event| event.data != "[DONE]"), "{failing}: {events:?}");
            assert!(!events.iter().any(|event| event.data.contains("torn")), "{failing}: {events:?}");
        }
    }
}

#[tokio::test]
async fn hanging_up_aborts_the_call() {
    for (scenario, is_stream) in [("endless", true), ("silent_patiently", false)] {
        for setup in Setup::each(&[scenario]).await {
            let ctx = context();
            let call = async {
                let mut body = setup.backend.call(&ctx, chat(is_stream)).await.unwrap().body;
                body.next().await;
            };
            tokio::select! {
                () = call => {}
                () = setup.upstream.arrived(), if !is_stream => {}
            }

            tokio::time::timeout(Duration::from_secs(5), setup.upstream.hung_up()).await.expect(scenario);
        }
    }
}

#[tokio::test]
async fn nobody_waits_beyond_the_deadline() {
    for setup in Setup::each(&["silent_patiently", "chat"]).await {
        let ctx = domain::RequestContext { deadline: Some(Instant::now() + Duration::from_millis(200)), ..context() };

        let error = setup.backend.call(&ctx, chat(false)).await.unwrap_err();

        assert_eq!(error.kind(), Kind::Timeout);
    }
}

#[tokio::test]
async fn the_models_are_listed_by_the_callers_names() {
    for setup in Setup::each(&["chat"]).await {
        let models = setup.backend.models().await.unwrap();

        assert_eq!(models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>(), ["public"]);
    }
}

#[tokio::test]
async fn another_catalog_can_be_taken_into_use() {
    for setup in Setup::each(&["busy"]).await {
        setup.router.swap(setup::catalog(&setup::catalog_text(&["chat"]), &setup.upstream));

        assert_eq!(served(&setup.backend.call(&context(), chat(false)).await.unwrap()).0, "chat");
    }
}

#[tokio::test]
async fn a_running_server_is_discovered() {
    let [setup, ..] = Setup::each(&["chat"]).await;
    let url = |scenario: &str| format!("http://{}/{scenario}/v1/", setup.upstream.address());

    let catalog = discover(&url("chat"), None).await.unwrap();

    assert_eq!((catalog.models[0].name.as_str(), catalog.models[0].max_model_len), ("tiny", Some(2048)));
    for (bad, text) in [("http://127.0.0.1:1/v1", "running"), (&url("unauthorized"), "key"), ("nonsense", "address")] {
        let error = discover(bad, None).await.unwrap_err();
        assert!(error.message().contains(text), "{error}");
    }
}
