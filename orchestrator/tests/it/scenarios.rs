//! The sixteen ways in which model servers fail, and what the client must see of each: in this process and over HTTP.

use crate::{
    setup::{Setup, chat, context, deployment, parse},
    upstream::{CHUNK, STREAM},
};
use domain::{Error, Kind, Result, Usage};
use orchestrator::{Dialect, ModelRequest, Outcome, Served};
use std::time::{Duration, Instant};

const LIMIT: usize = 1 << 20;

/// What a client gets: status, bytes, and how it ended.
struct Got {
    status: u16,
    text: String,
    outcome: Outcome,
    served: Served,
}

async fn get(setup: &Setup, request: ModelRequest) -> Result<Got> {
    let response = setup.backend.call(&context(), request).await?;
    let (status, served) = (response.status.as_u16(), response.served.unwrap());
    setup.upstream.go_on();
    let (bytes, outcome) = response.body.collect(LIMIT).await?;
    Ok(Got { status, text: String::from_utf8(bytes.to_vec()).unwrap(), outcome, served })
}

async fn stream(setup: &Setup) -> Result<Got> {
    get(setup, chat(true)).await
}

fn error_event(message: &str, kind: &str, code: &str) -> String {
    format!(r#"data: {{"error":{{"message":"{message}","type":"{kind}","param":null,"code":{code}}}}}"#) + "\n\n"
}

fn is_complete(got: &Got, deployment: &str, attempts: u32) -> bool {
    got.status == 200
        && got.text == STREAM
        && got.outcome.error.is_none()
        && (&*got.served.deployment, got.served.attempts) == (deployment, attempts)
}

fn failure(got: Result<Got>) -> Error {
    got.map(|got| got.text).unwrap_err()
}

#[tokio::test]
async fn s01_a_429_with_retry_after_is_waited_for() {
    for setup in Setup::each(&["limited_once"]).await {
        let begun = Instant::now();

        let got = stream(&setup).await.unwrap();

        assert!(is_complete(&got, "limited_once", 2), "{}", got.text);
        assert!(begun.elapsed() >= Duration::from_millis(990), "came back before its time");
    }
}

#[tokio::test]
async fn s02_a_lasting_429_is_told_with_its_wait_and_nobody_is_stampeded() {
    for setup in Setup::each(&["overloaded"]).await {
        let first = failure(stream(&setup).await);
        let second = failure(stream(&setup).await);

        assert_eq!(first.kind(), Kind::RateLimited { retry_after: Some(Duration::from_secs(7)) });
        assert!(second.retry_after().is_some_and(|wait| wait > Duration::from_secs(5)), "{second:?}");
        assert_eq!(setup.upstream.calls("overloaded"), 1, "a server that asked for rest was asked again");
    }
}

#[tokio::test]
async fn s02_a_lasting_429_goes_to_another_deployment_and_a_used_up_account_is_never_asked_twice() {
    for failing in ["overloaded", "quota"] {
        for setup in Setup::each(&[failing, "stream"]).await {
            let got = stream(&setup).await.unwrap();
            stream(&setup).await.unwrap();

            assert!(is_complete(&got, "stream", 2));
            assert_eq!(setup.upstream.calls(failing), 1);
        }
    }
}

#[tokio::test]
async fn s03_a_single_500_is_tried_again() {
    for setup in Setup::each(&["fails_once"]).await {
        let got = stream(&setup).await.unwrap();

        assert!(is_complete(&got, "fails_once", 2), "{}", got.text);
    }
}

#[tokio::test]
async fn s04_a_503_goes_to_another_deployment() {
    for setup in Setup::each(&["unavailable", "stream"]).await {
        assert!(is_complete(&stream(&setup).await.unwrap(), "stream", 2));
    }
}

#[tokio::test]
async fn s05_a_connection_that_is_reset_before_any_header_is_no_answer() {
    for setup in Setup::each(&["slams", "stream"]).await {
        assert!(is_complete(&stream(&setup).await.unwrap(), "stream", 2));
    }
    for setup in Setup::each(&["slams"]).await {
        let error = failure(stream(&setup).await);

        assert_eq!(error.kind(), Kind::Unavailable);
        assert_eq!(error.message(), "The model server closed the connection before it answered.");
    }
}

#[tokio::test]
async fn s06_a_silent_server_is_left_and_not_asked_again() {
    for setup in Setup::each(&["silent"]).await {
        let error = failure(stream(&setup).await);

        assert_eq!(error.kind(), Kind::Timeout);
        assert_eq!(setup.upstream.calls("silent"), 1);
    }
    for setup in Setup::each(&["silent", "stream"]).await {
        assert!(is_complete(&stream(&setup).await.unwrap(), "stream", 2));
    }
}

#[tokio::test]
async fn s07_a_role_is_no_first_token() {
    for setup in Setup::each(&["slow_start", "stream"]).await {
        assert!(is_complete(&stream(&setup).await.unwrap(), "stream", 2));
    }
}

#[tokio::test]
async fn s08_a_stream_cut_in_mid_answer_ends_with_an_error() {
    for setup in Setup::each(&["cut", "stream"]).await {
        let got = stream(&setup).await.unwrap();

        let text = "The model server ended the answer before it was complete.";
        assert_eq!(got.text, CHUNK.to_owned() + &error_event(text, "server_error", "\"answer_incomplete\""));
        assert_eq!((&*got.served.deployment, got.outcome.error.unwrap().kind()), ("cut", Kind::BadUpstream));
    }
}

#[tokio::test]
async fn s09_a_stream_that_stalls_ends_with_an_error() {
    for setup in Setup::each(&["stalls", "stream"]).await {
        let got = stream(&setup).await.unwrap();

        assert!(
            got.text.starts_with(&format!("{CHUNK}data: {{\"error\":{{\"message\":\"The model did not answer in time"))
        );
        assert!(got.text.ends_with("}\n\n") && !got.text.contains("torn") && !got.text.contains("[DONE]"));
        assert_eq!(got.outcome.error.unwrap().kind(), Kind::Timeout);
    }
}

#[tokio::test]
async fn s10_a_malformed_chunk_ends_the_stream_with_an_error() {
    for setup in Setup::each(&["malformed", "stream"]).await {
        let got = stream(&setup).await.unwrap();

        let text = "The model server sent something that is not an answer of its API.";
        assert_eq!(got.text, CHUNK.to_owned() + &error_event(text, "server_error", "\"answer_malformed\""));
    }
}

#[tokio::test]
async fn s11_a_stream_without_its_end_marker_is_not_complete() {
    for setup in Setup::each(&["no_done"]).await {
        let got = stream(&setup).await;

        let got = got.unwrap();
        let text = "The model server ended the answer before it was complete.";
        assert_eq!(got.text, CHUNK.to_owned() + &error_event(text, "server_error", "\"answer_incomplete\""));
    }
}

#[tokio::test]
async fn s12_a_prompt_that_is_too_long_is_not_sent_twice_to_the_same_model() {
    for setup in Setup::each(&["too_long", "stream"]).await {
        let got = stream(&setup).await.unwrap();

        assert_eq!((got.status, setup.upstream.calls("too_long"), setup.upstream.calls("stream")), (400, 1, 0));
        assert!(got.text.contains(r#""code":"context_length_exceeded""#), "{}", got.text);
    }
}

#[tokio::test]
async fn s12_a_model_with_a_longer_context_stands_in() {
    let toml = with_stand_in("too_long", "stream").replace("policy", "max_model_len = 2048\npolicy");
    let toml = toml.replace("name = \"big\"", "name = \"big\"\nmax_model_len = 100000");
    for setup in Setup::each_with(&toml).await {
        let got = stream(&setup).await.unwrap();

        assert!(is_complete(&got, "stream", 2));
        assert_eq!(&*got.served.model, "big");
    }
}

#[tokio::test]
async fn s13_what_a_content_filter_refused_is_passed_on_and_not_tried_elsewhere() {
    for setup in Setup::each(&["filtered", "stream"]).await {
        let got = stream(&setup).await.unwrap();

        assert_eq!((got.status, setup.upstream.calls("filtered"), setup.upstream.calls("stream")), (400, 1, 0));
        assert_eq!(
            got.text,
            r#"{"error":{"message":"blocked","type":"invalid_request_error","param":null,"code":"content_policy_violation"}}"#
        );
    }
}

#[tokio::test]
async fn s14_a_stand_in_that_rejects_the_request_does_not_hide_the_failure() {
    for setup in Setup::each_with(&with_stand_in("unavailable", "too_long")).await {
        let error = failure(stream(&setup).await);

        assert_eq!(error.kind(), Kind::Unavailable);
        assert_eq!(setup.upstream.calls("too_long"), 1);
    }
}

#[tokio::test]
async fn s15_a_flapping_primary_is_left_and_found_again() {
    for setup in Setup::each(&["flaps", "stream"]).await {
        for _ in 0..8 {
            assert_eq!(&*stream(&setup).await.unwrap().served.deployment, "stream");
        }
        let asked = setup.upstream.calls("flaps");
        assert!(asked <= 6, "an open breaker let {asked} calls through");

        setup.upstream.mend();
        let back = async {
            while &*stream(&setup).await.unwrap().served.deployment != "flaps" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };

        tokio::time::timeout(Duration::from_secs(30), back).await.expect("the primary was not found again");
    }
}

#[tokio::test]
async fn s16_the_account_names_the_model_that_answered_and_its_price() {
    let toml = with_stand_in("unavailable", "stream") + "input_usd_per_million = 1\noutput_usd_per_million = 2\n";
    for setup in Setup::each_with(&toml).await {
        let got = stream(&setup).await.unwrap();

        let served = got.outcome.served.unwrap();
        assert_eq!((&*served.model, &*served.deployment, served.attempts), ("big", "stream", 2));
        // 17 tokens in, 3 out.
        assert_eq!(served.cost.unwrap().nanos(), 17_000 + 6_000);
        assert_eq!(got.outcome.usage, Some(Usage { input: 17, output: 3, ..Usage::default() }));
    }
}

/// The model `public` played by one scenario, for which `big` stands in, played by another.
fn with_stand_in(scenario: &str, stand_in: &str) -> String {
    let first = deployment(scenario, 0);
    let second = deployment(stand_in, 0);
    format!(
        "[[model]]\nname = \"public\"\nfallbacks = [\"big\"]\npolicy = \"priority\"\n{first}[[model]]\nname = \"big\"\n{second}"
    )
}

#[tokio::test]
async fn usage_that_nobody_asked_for_is_counted_and_kept_back() {
    for setup in Setup::each(&["stream"]).await {
        let got = get(&setup, parse(Dialect::Chat, r#"{"model":"public","stream":true}"#)).await.unwrap();

        assert!(!got.text.contains("prompt_tokens") && got.text.ends_with("data: [DONE]\n\n"), "{}", got.text);
        assert_eq!(got.outcome.usage, Some(Usage { input: 17, output: 3, ..Usage::default() }));
        assert!(!got.outcome.is_estimated);
        let (_, sent) = setup.upstream.last();
        assert!(sent.contains(r#""stream_options":{"include_usage":true}"#), "{sent}");
    }
}

#[tokio::test]
async fn usage_that_a_server_does_not_tell_is_estimated_and_marked() {
    for setup in Setup::each(&["no_usage"]).await {
        let body = r#"{"model":"public","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;

        let got = get(&setup, parse(Dialect::Chat, body)).await.unwrap();

        assert!(got.outcome.is_estimated);
        assert_eq!(got.outcome.usage, Some(Usage { input: 9, output: 2, ..Usage::default() }));
    }
}
