//! The Responses API against golden files. Each stream of ours is also read again, as a provider's would be.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::{fs, path::PathBuf};
use wire::{
    pivot::{
        Answer, Choice, Content, Decode, Delta, Encode, Event, Finish, Media, MediaSource, Part, StreamError, ToolCall,
        Usage,
    },
    responses::{Echo, StreamReader, StreamWriter, read_answer, read_request, write_answer},
    sse,
};

const NOW: i64 = 1_800_000_000;

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("goldens/responses").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn snapshot(name: &str, value: &impl std::fmt::Debug) {
    insta::with_settings!({ snapshot_path => "../goldens/responses", prepend_module_to_snapshot => false }, {
        insta::assert_debug_snapshot!(name, value);
    });
}

fn echo(request: &str) -> Echo {
    Echo::read(&golden(&format!("{request}.request.json")), NOW).unwrap()
}

fn write_stream(request: &str, events: &[Event]) -> Vec<sse::Event<'static>> {
    let mut writer = StreamWriter::new(echo(request));
    events.iter().cloned().flat_map(|event| writer.encode(event)).collect()
}

fn read_stream(stream: &[sse::Event<'_>]) -> Vec<Event> {
    let mut reader = StreamReader::new();
    stream.iter().flat_map(|event| reader.decode(event).unwrap()).collect()
}

fn split(stream: &[u8]) -> Vec<sse::Event<'_>> {
    sse::Decoder::new(1 << 20).feed(stream).unwrap()
}

#[track_caller]
fn assert_stream(case: &str, request: &str, events: &[Event]) {
    let stream = write_stream(request, events);

    let text: String = stream.iter().map(|event| String::from_utf8(event.encode().to_vec()).unwrap()).collect();
    assert_eq!(text, String::from_utf8(golden(&format!("{case}.stream.sse"))).unwrap());
}

#[track_caller]
fn assert_answer(case: &str, request: &str, answer: &Answer) {
    let expected: Value = serde_json::from_slice(&golden(&format!("{case}.answer.json"))).unwrap();

    let written = write_answer(answer, &echo(request));

    assert_eq!(written, expected, "{written:#}");
}

fn start(id: &str) -> Event {
    Event::Start { id: id.into(), model: "upstream".into(), created: Some(1_700_000_000) }
}

fn add(delta: Delta) -> Event {
    Event::Delta { choice: 0, delta }
}

fn text(text: &str) -> Event {
    add(Delta::Text(text.into()))
}

fn thinking(text: &str) -> Event {
    add(Delta::Thinking(text.into()))
}

fn call(index: u64, id: &str, arguments: &str, signature: Option<&str>) -> Event {
    let signature = signature.map(Into::into);
    let call = ToolCall { id: id.into(), name: "weather".into(), arguments: arguments.into(), signature };
    add(Delta::ToolCallStart { index, call })
}

fn arguments(index: u64, text: &str) -> Event {
    add(Delta::ToolArguments { index, text: text.into() })
}

fn finish(finish: Finish) -> Event {
    Event::Finish { choice: 0, finish }
}

fn usage() -> Usage {
    Usage { input: 20, output: 9, cached: 16, cache_write: 2, reasoning: 4 }
}

fn answer(parts: Vec<Content>, finish: Finish) -> Answer {
    let parts = parts.into_iter().map(Part::new).collect();
    Answer {
        id: "chatcmpl-1".into(),
        model: "upstream".into(),
        created: Some(1_700_000_000),
        choices: vec![Choice { parts, finish: Some(finish), ..Choice::default() }],
        usage: Some(usage()),
        rest: Map::new(),
    }
}

fn two_calls() -> Vec<Content> {
    let call_of = |id: &str, arguments: &str, signature: Option<&str>| {
        let (name, signature) = ("weather".into(), signature.map(Into::into));
        Content::ToolCall(ToolCall { id: id.into(), name, arguments: arguments.into(), signature })
    };
    vec![
        Content::Thinking { text: "Two cities.".into(), signature: Some("c2ln".into()) },
        Content::RedactedThinking("c2VjcmV0".into()),
        Content::Text("Let me see.".into()),
        call_of("call_1", r#"{"city":"Paris"}"#, None),
        call_of("call_2", r#"{"city":"Rome"}"#, Some("dG9vbA==")),
    ]
}

#[test]
fn requests_are_read() {
    for case in ["text", "conversation", "tools", "summary"] {
        let request = read_request(&golden(&format!("{case}.request.json"))).unwrap();

        snapshot(&format!("{case}.request"), &request);
    }
}

#[test]
fn what_cannot_be_had_is_refused_by_name() {
    for (field, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!({"id": "conv_1"})),
        ("prompt", json!({"id": "pmpt_1"})),
        ("background", json!(true)),
        ("store", json!(true)),
        ("truncation", json!("auto")),
        ("max_tool_calls", json!(3)),
        ("context_management", json!([{"type": "compaction"}])),
        ("moderation", json!({"model": "omni-moderation-latest"})),
        ("messages", json!([])),
        ("max_tokens", json!(5)),
        ("response_format", json!({"type": "text"})),
        ("n", json!(2)),
        ("temperature", json!("hot")),
        ("max_output_tokens", json!(-1)),
        ("stream", json!("yes")),
        ("model", json!(7)),
    ] {
        assert_refused(field, value, field);
    }
}

#[test]
fn what_cannot_be_had_is_refused_by_its_place() {
    for (field, value, place) in [
        ("include", json!(["reasoning.encrypted_content", "file_search_call.results"]), "include[1]"),
        ("tools", json!([{"type": "web_search"}]), "tools[0].type"),
        ("tool_choice", json!({"type": "file_search"}), "tool_choice.type"),
        ("text", json!({"format": {"type": "grammar"}}), "text.format.type"),
        ("text", json!({"format": {"type": "json_schema", "name": "x"}}), "text.format.schema"),
        ("text", json!({"colour": "red"}), "text.colour"),
        ("reasoning", json!({"mode": "pro"}), "reasoning.mode"),
        ("reasoning", json!({"effort": 3}), "reasoning.effort"),
        ("metadata", json!({"a": 1}), "metadata.a"),
        ("prompt_cache_options", json!({"prewarm": true}), "prompt_cache_options.prewarm"),
        ("stop", json!(["x", 1]), "stop[1]"),
    ] {
        assert_refused(field, value, place);
    }
}

#[track_caller]
fn assert_refused(field: &str, value: Value, place: &str) {
    let mut body = json!({"model": "m", "input": "Hi"});
    body[field] = value;

    let error = read_request(body.to_string().as_bytes()).unwrap_err();

    assert_eq!(error.param.as_deref(), Some(place));
    assert!(error.message.contains(&format!("`{place}`")), "{}", error.message);
}

#[test]
fn a_text_is_one_message() {
    let mut whole = answer(vec![Content::Text("Hello!".into())], Finish::Stop);
    whole.choices[0].parts[0].rest.insert("new".into(), json!(1));
    whole.rest.insert("service_tier".into(), json!("default"));
    whole.rest.insert("object".into(), json!("chat.completion"));

    assert_answer("text", "text", &whole);
    let events = [start("chatcmpl-1"), text("Hel"), text(""), text("lo!"), finish(Finish::Stop)];
    assert_stream("text", "text", &[&events[..], &[Event::Usage(usage()), Event::Done]].concat());
}

#[test]
fn each_call_is_an_item() {
    assert_answer("tools", "tools", &answer(two_calls(), Finish::ToolCalls));
    let events = [
        start("chatcmpl-1"),
        thinking("Two "),
        thinking("cities."),
        add(Delta::Signature("c2ln".into())),
        add(Delta::RedactedThinking("c2VjcmV0".into())),
        text("Let me see."),
        call(0, "call_1", "", None),
        arguments(0, r#"{"city":"#),
        arguments(0, r#""Paris"}"#),
        call(1, "call_2", r#"{"city":"Rome"}"#, Some("dG9vbA==")),
        finish(Finish::ToolCalls),
        Event::Usage(usage()),
        Event::Done,
    ];
    assert_stream("tools", "tools", &events);
}

#[test]
fn who_asked_for_a_summary_gets_reasoning_as_one() {
    let parts = vec![Content::Thinking { text: "Because.".into(), signature: None }, Content::Text("{\"why\":".into())];

    assert_answer("summary", "summary", &answer(parts, Finish::Length));
    let events = [start("chatcmpl-1"), thinking("Because."), text("{\"why\":"), finish(Finish::Length)];
    assert_stream("summary", "summary", &[&events[..], &[Event::Usage(usage()), Event::Done]].concat());
}

#[test]
fn a_refusal_completes_an_answer() {
    let parts = vec![Content::Text("Well.".into()), Content::Refusal("I won't.".into())];

    assert_answer("refusal", "text", &answer(parts, Finish::Refusal));
    let refusal = |text: &str| add(Delta::Refusal(text.into()));
    let events = [start("chatcmpl-1"), text("Well."), refusal("I "), refusal("won't."), finish(Finish::Refusal)];
    assert_stream("refusal", "text", &[&events[..], &[Event::Usage(usage()), Event::Done]].concat());
}

#[test]
fn logprobs_go_with_their_text_whenever_they_come() {
    let told = |token: &str| json!({"content": [{"token": token, "logprob": -0.5, "bytes": null, "top_logprobs": [{"token": "b", "logprob": -1.5}]}]});
    let mut whole = answer(vec![Content::Text("a".into())], Finish::Stop);
    whole.choices[0].logprobs = Some(told("a"));

    assert_answer("logprobs", "text", &whole);
    let logprobs = |token: &str| add(Delta::Logprobs(told(token)));
    let events = [start("chatcmpl-1"), logprobs("a"), text("a"), text("b"), logprobs("b"), finish(Finish::Stop)];
    assert_stream("logprobs", "text", &[&events[..], &[Event::Done]].concat());
}

#[test]
fn a_failure_is_told_twice_and_ends_the_stream() {
    let error = StreamError {
        kind: "overloaded_error".into(),
        code: Some("529".into()),
        message: "The model is overloaded.".into(),
    };
    let events = [start("msg_1"), thinking("Hm."), text("Half"), Event::Error(error), text("more"), Event::Done];

    assert_stream("failed", "tools", &events);
}

#[test]
fn a_failure_before_the_start_has_a_response_too() {
    let stream = write_stream("text", &[Event::Error(StreamError { message: "Gone.".into(), ..Default::default() })]);

    let kinds: Vec<_> = stream.iter().map(|event| event.event.as_deref().unwrap()).collect();
    assert_eq!(kinds, ["response.created", "response.in_progress", "error", "response.failed"]);
}

#[test]
fn arguments_of_a_call_that_ended_fail_the_stream() {
    let events = [start("x"), call(0, "a", "{", None), call(1, "b", "{}", None), arguments(0, "}"), Event::Done];

    let last = write_stream("text", &events).pop().unwrap();

    assert_eq!(last.event.as_deref(), Some("response.failed"));
}

#[test]
fn a_picture_is_what_a_tool_made() {
    let image = Media { source: MediaSource::Base64("iVBORw0=".into()), media_type: Some("image/webp".into()) };
    let written = write_answer(&answer(vec![Content::Image(image.clone())], Finish::Stop), &echo("text"));

    let request = json!({"model": "m", "input": written["output"]});
    let request = read_request(request.to_string().as_bytes()).unwrap();

    assert_eq!(request.messages[0].parts[0].content, Content::Image(image));
}

/// The golden request is what OpenAI's Python client makes of our golden stream.
#[test]
fn what_a_client_hands_back_is_what_was_said() {
    let request = read_request(&golden("handed-back.request.json")).unwrap();

    let parts: Vec<_> = request.messages[1].parts.iter().map(|part| part.content.clone()).collect();
    assert_eq!(parts, two_calls());
    assert!(request.messages[1].parts.iter().all(|part| part.rest.is_empty()));
    assert_eq!((request.messages.len(), request.messages[2].parts.len()), (3, 2));
}

#[test]
fn native_answers_and_streams_are_watched() {
    for case in ["vllm", "llama-server"] {
        snapshot(&format!("{case}.answer"), &read_answer(&golden(&format!("{case}.answer.json"))).unwrap());
    }
    snapshot("native.stream", &read_stream(&split(&golden("native.stream.sse"))));
}

#[test]
fn our_own_streams_are_read_as_they_were_written() {
    let events = read_stream(&split(&golden("tools.stream.sse")));
    let calls: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Delta { delta: Delta::ToolCallStart { index, call }, .. } => {
                Some((*index, call.signature.as_deref()))
            }
            _ => None,
        })
        .collect();

    assert_eq!(calls, [(0, None), (1, Some("dG9vbA=="))]);
    assert!(events.contains(&add(Delta::Signature("c2ln".into()))));
    assert!(events.contains(&add(Delta::RedactedThinking("c2VjcmV0".into()))));
    assert_eq!(events[events.len() - 3..], [finish(Finish::ToolCalls), Event::Usage(usage()), Event::Done]);
    let error = read_stream(&split(&golden("failed.stream.sse"))).pop();
    let Some(Event::Error(error)) = error else { panic!("{error:?}") };
    assert_eq!((error.kind.as_str(), error.code.as_deref()), ("overloaded_error", Some("529")));
    assert_eq!(error.message, "The model is overloaded.");
}

#[test]
fn a_failure_is_heard_in_every_form() {
    for data in [
        r#"{"type":"error","code":"slow_down","message":"No.","param":null,"sequence_number":2}"#,
        r#"{"type":"error","error":{"type":"slow_down","code":"slow_down","message":"No."}}"#,
        r#"{"error":{"type":"slow_down","code":"slow_down","message":"No."}}"#,
        r#"{"type":"response.failed","response":{"error":{"code":"slow_down","message":"No."}}}"#,
    ] {
        let events = read_stream(&[sse::Event::new(None, data.into())]);

        let error = StreamError { kind: "slow_down".into(), code: Some("slow_down".into()), message: "No.".into() };
        assert_eq!(events, [Event::Error(error)], "{data}");
    }
    assert!(StreamReader::new().decode(&sse::Event { event: None, data: "{".into() }).is_err());
    assert!(read_answer(br#"{"id":"x","status":"failed","error":{"message":"No."},"output":[]}"#).is_err());
}

fn some_events() -> impl Strategy<Value = Vec<Event>> {
    let words = "[a-z]{0,3}";
    let step = prop_oneof![
        words.prop_map(Delta::Text),
        words.prop_map(Delta::Thinking),
        "[a-z]{1,3}".prop_map(Delta::Signature),
        "[a-z]{1,3}".prop_map(Delta::RedactedThinking),
        words.prop_map(Delta::Refusal),
        (words, any::<bool>()).prop_map(|(arguments, signed)| {
            let signature = signed.then(|| "s".to_owned());
            let call = ToolCall { id: "c".into(), name: "f".into(), arguments, signature };
            Delta::ToolCallStart { index: 0, call }
        }),
        words.prop_map(|text| Delta::ToolArguments { index: 0, text }),
    ];
    let ends = prop_oneof![Just(Finish::Stop), Just(Finish::Length), Just(Finish::ContentFilter)];
    (prop::collection::vec(step, 0..12), ends).prop_map(|(deltas, end)| {
        let mut calls = 0;
        let mut after_call = false;
        let mut events = vec![start("resp_x")];
        for mut delta in deltas {
            match &mut delta {
                Delta::ToolCallStart { index, .. } => {
                    *index = calls;
                    calls += 1;
                    after_call = true;
                }
                Delta::ToolArguments { index, .. } if after_call => *index = calls - 1,
                Delta::ToolArguments { .. } => continue,
                _ => after_call = false,
            }
            events.push(add(delta));
        }
        events.extend([finish(end), Event::Usage(usage()), Event::Done]);
        events
    })
}

fn some_json() -> impl Strategy<Value = Value> {
    let names = "(type|role|content|output|input|text|item|response|error|status|call_id|name|arguments|summary|tools|\
                 encrypted_content|delta|output_index|model|reasoning|format|message|code|usage|id)";
    let words = "(message|reasoning|function_call|function_call_output|input_text|input_image|response.created|\
                 response.completed|response.failed|response.output_item.added|response.output_item.done|error|\
                 response.output_text.delta|response.function_call_arguments.delta|user|x)";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..3_i64).prop_map(Value::from),
        words.prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..6)
                .prop_map(|fields| Value::from(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn told(event: &sse::Event) -> Value {
    serde_json::from_str(&event.data).unwrap()
}

proptest! {
    #[test]
    fn any_stream_is_in_order_and_sums_up_to_the_whole_answer(events in some_events()) {
        let stream = write_stream("tools", &events);

        let mut done = Vec::new();
        for (number, event) in stream.iter().enumerate() {
            let event = told(event);
            prop_assert_eq!(&event["sequence_number"], number);
            if event["type"] == "response.output_item.added" {
                prop_assert_eq!(&event["output_index"], done.len());
            }
            if event["type"] == "response.output_item.done" {
                prop_assert_eq!(&event["output_index"], done.len());
                done.push(event["item"].clone());
            }
        }
        let response = told(stream.last().unwrap())["response"].clone();
        prop_assert_eq!(&response["output"], &Value::from(done));
        let read = read_answer(response.to_string().as_bytes()).unwrap();
        prop_assert_eq!(write_answer(&read, &echo("tools")), response);
    }

    #[test]
    fn any_stream_reads_as_it_was_written(events in some_events()) {
        let text_of = |events: &[Event]| -> String {
            events.iter().filter_map(|event| match event {
                Event::Delta { delta: Delta::Text(text) | Delta::Refusal(text) | Delta::Thinking(text), .. } => Some(text.as_str()),
                Event::Delta { delta: Delta::ToolArguments { text, .. }, .. } => Some(text.as_str()),
                Event::Delta { delta: Delta::ToolCallStart { call, .. }, .. } => Some(call.arguments.as_str()),
                _ => None,
            }).collect()
        };

        let read = read_stream(&write_stream("tools", &events));

        prop_assert_eq!(text_of(&read), text_of(&events));
        prop_assert_eq!(read.last(), Some(&Event::Done));
    }

    #[test]
    fn nothing_that_comes_in_panics(json in some_json(), more in some_json()) {
        let text = json.to_string();
        let _ = read_request(text.as_bytes());
        let _ = Echo::read(text.as_bytes(), NOW);
        let _ = read_answer(text.as_bytes());
        let _ = read_request(json!({"model": "m", "input": [json, more]}).to_string().as_bytes());
        let mut reader = StreamReader::new();
        for data in [text, more.to_string()] {
            let _ = reader.decode(&sse::Event::new(None, data));
        }
    }
}
