//! Truth in every dialect: what passes, what is translated, and what a broken stream looks like to each kind of caller.

use crate::{
    setup::{Setup, context, parse},
    upstream::{MESSAGE_START, TEXT_DELTA},
};
use domain::{Kind, Usage};
use orchestrator::{Dialect, ModelRequest, Outcome};

const LIMIT: usize = 1 << 20;
const CLAUDE: &str = include_str!("fixtures/claude.sse");

fn claude(scenarios: &[&str]) -> String {
    let deployment = |(priority, scenario): (usize, &&str)| {
        format!(
            "[[model.deployment]]\nname = \"{scenario}\"\nprovider = \"anthropic\"\nurl = \"http://UPSTREAM/{scenario}/v1\"\n\
             priority = {priority}\nupstream_model = \"up\"\ninput_usd_per_million = 4\ncached_input_usd_per_million = 1\n\
             cache_write_usd_per_million = 5\noutput_usd_per_million = 8\n"
        )
    };
    let deployments: String = scenarios.iter().enumerate().map(deployment).collect();
    format!("[[model]]\nname = \"public\"\npolicy = \"priority\"\n{deployments}")
}

fn ask(dialect: Dialect) -> ModelRequest {
    let body = match dialect {
        Dialect::Responses => r#"{"model":"public","stream":true,"input":"Hi"}"#,
        Dialect::Messages => {
            r#"{"model":"public","stream":true,"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"beta_field":[1]}"#
        }
        _ => r#"{"model":"public","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#,
    };
    parse(dialect, body)
}

async fn get(setup: &Setup, dialect: Dialect) -> (String, Outcome) {
    let response = setup.backend.call(&context(), ask(dialect)).await.unwrap();
    setup.upstream.go_on();
    let (bytes, outcome) = response.body.collect(LIMIT).await.unwrap();
    (String::from_utf8(bytes.to_vec()).unwrap(), outcome)
}

#[tokio::test]
async fn messages_pass_byte_for_byte_and_their_cache_tokens_have_their_price() {
    for setup in Setup::each_with(&claude(&["claude"])).await {
        let (text, outcome) = get(&setup, Dialect::Messages).await;

        assert_eq!(text, CLAUDE);
        let usage = Usage { input: 28, output: 9, cached: 20, cache_write: 5, reasoning: 0 };
        assert_eq!(outcome.usage, Some(usage));
        assert_eq!(outcome.served.unwrap().cost.unwrap().nanos(), 3 * 4_000 + 20 * 1_000 + 5 * 5_000 + 9 * 8_000);
        let (headers, body) = setup.upstream.last();
        assert!(body.contains(r#""model":"up""#) && body.contains(r#""beta_field":[1]"#), "{body}");
        assert_eq!(headers["anthropic-version"], "2023-06-01");
    }
}

#[tokio::test]
async fn a_translated_stream_has_the_same_accounts() {
    for dialect in [Dialect::Chat, Dialect::Responses] {
        for setup in Setup::each_with(&claude(&["claude"])).await {
            let (text, outcome) = get(&setup, dialect).await;

            assert!(text.contains("Hello") && outcome.error.is_none(), "{text}");
            assert_eq!(outcome.usage.map(|usage| (usage.input, usage.output)), Some((28, 9)), "{dialect:?}");
            assert!(!outcome.is_estimated);
        }
    }
}

#[tokio::test]
async fn a_message_that_is_cut_never_looks_complete_in_any_dialect() {
    for scenario in ["claude_cut", "claude_breaks"] {
        for (dialect, last, end) in [
            (Dialect::Messages, "event: error\ndata: {\"type\":\"error\"", "message_stop"),
            (Dialect::Chat, "data: {\"error\":{", "[DONE]"),
            (Dialect::Responses, "event: error\ndata: {\"type\":\"error\"", "response.completed"),
        ] {
            for setup in Setup::each_with(&claude(&[scenario])).await {
                let (text, outcome) = get(&setup, dialect).await;

                let event = text.trim_end().rsplit("\n\n").next().unwrap();
                assert!(event.starts_with(last), "{scenario} {dialect:?}: {text}");
                assert!(!text.contains(end) && text.contains("Hi"), "{scenario} {dialect:?}: {text}");
                assert!(outcome.error.is_some_and(|error| error.kind() != Kind::InvalidRequest));
            }
        }
    }
}

#[tokio::test]
async fn what_came_before_the_break_passed_unchanged() {
    for setup in Setup::each_with(&claude(&["claude_cut"])).await {
        let (text, _) = get(&setup, Dialect::Messages).await;

        assert!(text.starts_with(&format!("{MESSAGE_START}{TEXT_DELTA}event: error\n")), "{text}");
    }
}

#[tokio::test]
async fn an_overload_after_message_start_goes_to_the_next_deployment() {
    for dialect in [Dialect::Messages, Dialect::Chat, Dialect::Responses] {
        for setup in Setup::each_with(&claude(&["claude_overloaded", "claude"])).await {
            let (text, outcome) = get(&setup, dialect).await;

            assert!(text.contains("Hello") && !text.contains("Overloaded"), "{text}");
            let served = outcome.served.unwrap();
            assert_eq!((&*served.deployment, served.attempts), ("claude", 2));
        }
    }
}

#[tokio::test]
async fn a_response_that_fails_after_its_creation_goes_to_the_next_deployment() {
    let toml = "[[model]]\nname = \"public\"\npolicy = \"priority\"\n[[model.deployment]]\nname = \"native\"\n\
                url = \"http://UPSTREAM/response_fails/v1\"\napis = [\"responses\"]\n[[model.deployment]]\nname = \"chat\"\n\
                url = \"http://UPSTREAM/stream/v1\"\npriority = 1\n";
    for setup in Setup::each_with(toml).await {
        let (text, outcome) = get(&setup, Dialect::Responses).await;

        // The recorded answer ended at its limit of tokens.
        assert!(text.contains("event: response.incomplete") && !text.contains("oops"), "{text}");
        assert_eq!(&*outcome.served.unwrap().deployment, "chat");
    }
}

#[tokio::test]
async fn what_no_deployment_has_words_for_is_refused_with_its_name_and_another_may_take_it() {
    let body = r#"{"model":"public","n":2,"messages":[{"role":"user","content":"Hi"}]}"#;
    for setup in Setup::each_with(&claude(&["claude"])).await {
        let error = setup.backend.call(&context(), parse(Dialect::Chat, body)).await.unwrap_err();

        assert_eq!((error.kind(), error.param()), (Kind::InvalidRequest, Some("n")));
    }
    let both = claude(&["claude"])
        + "[[model.deployment]]\nname = \"chat\"\nurl = \"http://UPSTREAM/chat/v1\"\npriority = 1\n";
    for setup in Setup::each_with(&both).await {
        let response = setup.backend.call(&context(), parse(Dialect::Chat, body)).await.unwrap();

        assert_eq!(&*response.served.unwrap().deployment, "chat");
    }
}
