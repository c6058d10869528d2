//! Chat completions against golden files. What servers sent was recorded from vLLM 0.32 and llama.cpp.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};
use wire::{
    chat::{StreamReader, StreamWriter, read_answer, read_request, write_answer, write_request},
    pivot::{
        Content, Decode, Delta, Encode, Event, Finish, Media, MediaSource, Message, Part, Request, Role, StreamError,
        ToolCall, Usage,
    },
    sse,
};

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("goldens/chat").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn snapshot(name: &str, value: &impl std::fmt::Debug) {
    insta::with_settings!({ snapshot_path => "../goldens/chat", prepend_module_to_snapshot => false }, {
        insta::assert_debug_snapshot!(name, value);
    });
}

fn split(stream: &[u8]) -> Vec<sse::Event<'_>> {
    sse::Decoder::new(1 << 20).feed(stream).unwrap()
}

fn read_stream(stream: &[sse::Event<'_>]) -> Vec<Event> {
    let mut reader = StreamReader::default();
    stream.iter().flat_map(|event| reader.decode(event).unwrap()).collect()
}

fn write_stream(shows_usage: bool, events: &[Event]) -> Vec<sse::Event<'static>> {
    let mut writer = StreamWriter::new(shows_usage);
    events.iter().cloned().flat_map(|event| writer.encode(event)).collect()
}

fn chunk(data: &Value) -> sse::Event<'static> {
    sse::Event::new(None, data.to_string())
}

fn start() -> Event {
    Event::Start { id: "chatcmpl-1".into(), model: "upstream".into(), created: Some(1_700_000_000) }
}

fn add(delta: Delta) -> Event {
    Event::Delta { choice: 0, delta }
}

fn call(index: u64, id: &str, arguments: &str, signature: Option<&str>) -> Event {
    let signature = signature.map(Into::into);
    let call = ToolCall { id: id.into(), name: "weather".into(), arguments: arguments.into(), signature };
    add(Delta::ToolCallStart { index, call })
}

fn finish(finish: Finish) -> Event {
    Event::Finish { choice: 0, finish }
}

fn usage() -> Usage {
    Usage { input: 20, output: 9, cached: 16, cache_write: 0, reasoning: 4 }
}

#[test]
fn requests_come_back_with_what_is_unknown() {
    for case in ["generation", "conversation", "handed-back"] {
        let body = golden(&format!("{case}.request.json"));

        let request = read_request(&body).unwrap();

        snapshot(&format!("{case}.request"), &request);
        assert_eq!(write_request(&request).unwrap(), serde_json::from_slice::<Value>(&body).unwrap(), "{case}");
    }
}

#[test]
fn answers_come_back_with_what_is_unknown() {
    for case in ["tool-calls", "refusal", "full"] {
        let body = golden(&format!("{case}.answer.json"));

        let answer = read_answer(&body).unwrap();

        snapshot(&format!("{case}.answer"), &answer);
        assert_eq!(write_answer(&answer), serde_json::from_slice::<Value>(&body).unwrap(), "{case}");
    }
}

#[test]
fn recorded_answers_are_read() {
    for case in ["vllm-text", "vllm-two-choices", "vllm-stop", "vllm-logprobs", "llama-text"] {
        let answer = read_answer(&golden(&format!("{case}.answer.json"))).unwrap();

        snapshot(&format!("{case}.answer"), &answer);
        assert_eq!(read_answer(write_answer(&answer).to_string().as_bytes()).unwrap(), answer, "{case}");
    }
}

#[test]
fn recorded_streams_are_read() {
    for case in ["vllm-text", "vllm-running-usage", "vllm-logprobs", "vllm-tool", "llama-text"] {
        let events = read_stream(&split(&golden(&format!("{case}.stream.sse"))));

        snapshot(&format!("{case}.stream"), &events);
        let again = read_stream(&write_stream(true, &events));
        let without_usage = |events: &[Event]| {
            events.iter().filter(|event| !matches!(event, Event::Usage(_))).cloned().collect::<Vec<_>>()
        };
        assert_eq!(without_usage(&again), without_usage(&events), "{case}");
        assert_eq!(again.last(), Some(&Event::Done));
    }
}

#[test]
fn a_stream_is_written_in_order() {
    let events = [
        start(),
        add(Delta::Thinking("Two ".into())),
        add(Delta::Thinking("cities.".into())),
        add(Delta::Signature("c2ln".into())),
        add(Delta::RedactedThinking("c2VjcmV0".into())),
        add(Delta::Text(String::new())),
        add(Delta::Text("Let me see.".into())),
        add(Delta::Logprobs(json!({"content": []}))),
        call(0, "call_1", "", Some("dG9vbA==")),
        add(Delta::ToolArguments { index: 0, text: r#"{"city":"#.into() }),
        add(Delta::ToolArguments { index: 0, text: r#""Paris"}"#.into() }),
        call(1, "call_2", "", None),
        Event::Usage(Usage::default()),
        finish(Finish::ToolCalls),
        Event::Delta { choice: 1, delta: Delta::Refusal("No.".into()) },
        Event::Finish { choice: 1, finish: Finish::Refusal },
        Event::Usage(usage()),
        Event::Done,
    ];

    let stream = write_stream(true, &events);

    let text: String = stream.iter().map(|event| String::from_utf8(event.encode().to_vec()).unwrap()).collect();
    assert_eq!(text, String::from_utf8(golden("calls.stream.sse")).unwrap());
    let mut expected: Vec<_> = events.into_iter().filter(|event| *event != Event::Usage(Usage::default())).collect();
    expected.retain(|event| *event != add(Delta::Text(String::new())));
    let no_arguments = add(Delta::ToolArguments { index: 1, text: "{}".into() });
    let end = expected.iter().position(|event| *event == finish(Finish::ToolCalls)).unwrap();
    expected.insert(end, no_arguments);
    assert_eq!(read_stream(&stream), expected);
}

#[test]
fn usage_is_shown_only_if_asked_for() {
    let events = [start(), add(Delta::Text("Hi".into())), finish(Finish::Stop), Event::Usage(usage()), Event::Done];

    let stream = write_stream(false, &events);

    assert!(stream.iter().all(|event| !event.data.contains("usage")));
    assert_eq!(stream.len(), 4);
    assert_eq!(stream.last().unwrap().data, "[DONE]");
}

#[test]
fn a_failure_ends_the_stream() {
    let error = StreamError { kind: "overloaded_error".into(), code: Some("529".into()), message: "Busy".into() };

    let stream = write_stream(true, &[start(), Event::Error(error.clone()), Event::Done]);

    let expected = json!({"error": {"message": "Busy", "type": "overloaded_error", "param": null, "code": "529"}});
    assert_eq!(serde_json::from_str::<Value>(&stream.last().unwrap().data).unwrap(), expected);
    assert_eq!(read_stream(&stream), [start(), Event::Error(error)]);
}

#[test]
fn every_form_of_an_error_is_read() {
    let error = |kind: &str, code: Option<&str>| {
        let (kind, code) = (kind.into(), code.map(Into::into));
        [Event::Error(StreamError { kind, code, message: "Gone".into() })]
    };
    for (data, expected) in [
        (json!({"error": {"message": "Gone", "type": "t", "code": 500}}), error("t", Some("500"))),
        (json!({"error": "Gone"}), error("", None)),
        (json!({"object": "error", "message": "Gone", "type": "t", "code": "c"}), error("t", Some("c"))),
    ] {
        assert_eq!(read_stream(&[chunk(&data)]), expected);
    }
}

#[test]
fn what_some_servers_do_is_understood() {
    let delta = |delta: Value| chunk(&json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]}));
    let google =
        |id: &str| json!({"tool_calls": [{"index": 0, "id": id, "function": {"name": "f", "arguments": "{}"}}]});
    let blocks = json!([{"type": "thinking", "thinking": "Hm.", "signature": "s"}]);
    let stream = [
        chunk(&json!({"id": "", "model": "", "choices": [], "prompt_filter_results": []})),
        delta(json!({"reasoning": "Hm.", "thinking_blocks": blocks})),
        delta(json!({"thinking_blocks": blocks})),
        delta(google("a")),
        delta(google("b")),
        delta(json!({"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]})),
        chunk(&json!({"id": "c", "choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}})),
    ];

    let events = read_stream(&stream);

    let called = |index, id: &str| {
        let call = ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into(), signature: None };
        add(Delta::ToolCallStart { index, call })
    };
    let expected = [
        Event::Start { id: "c".into(), model: "m".into(), created: None },
        add(Delta::Thinking("Hm.".into())),
        add(Delta::Signature("s".into())),
        add(Delta::Thinking("Hm.".into())),
        add(Delta::Signature("s".into())),
        called(0, "a"),
        called(1, "b"),
        called(2, "call_c_0_2"),
        finish(Finish::ToolCalls),
        Event::Usage(Usage { input: 3, ..Usage::default() }),
    ];
    assert_eq!(events, expected);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let delta = |delta: Value| json!({"id": "c", "choices": [{"index": 0, "delta": delta}]});
    for data in [
        json!(7),
        json!({"choices": 7}),
        delta(json!({"content": 7})),
        delta(json!({"audio": {"data": "AA"}})),
        delta(json!({"images": [{}]})),
        delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]})),
    ] {
        StreamReader::default().decode(&chunk(&data)).unwrap_err();
    }
    for body in [json!({}), json!({"choices": [{}]}), json!({"choices": [{"message": {"content": 7}}]}), json!([])] {
        let error = read_answer(body.to_string().as_bytes()).unwrap_err();
        assert!(error.message.starts_with("The provider's answer can't be read"), "{}", error.message);
    }
}

fn write_turn(role: Role, contents: Vec<Content>) -> Result<Value, String> {
    let parts = contents.into_iter().map(Part::new).collect();
    let messages = vec![Message { role, parts, rest: serde_json::Map::new() }];
    let written = write_request(&Request { messages, ..Request::default() });
    written.map(|mut body| body["messages"].take()).map_err(|error| error.param.unwrap())
}

fn result(id: &str, parts: Vec<Part>, is_error: Option<bool>) -> Content {
    Content::ToolResult { call_id: id.into(), parts, is_error }
}

#[test]
fn results_come_before_what_else_the_user_says() {
    let media = Media { source: MediaSource::Url("https://example.com/a.png".into()), media_type: None };
    let image = Part::new(Content::Image(media));
    let turn = vec![
        Content::Text("Go on.".into()),
        result("a", vec![Part::text("No such file")], Some(true)),
        result("b", vec![image], None),
        result("c", vec![], Some(true)),
    ];

    let written = write_turn(Role::User, turn).unwrap();

    let expected = json!([
        {"role": "tool", "tool_call_id": "a", "content": "Error: No such file"},
        {"role": "tool", "tool_call_id": "b", "content": "The result is in the next message of the user."},
        {"role": "tool", "tool_call_id": "c", "content": "Error"},
        {"role": "user", "content": [
            {"type": "text", "text": "What the tool call b gave:"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "text", "text": "Go on."},
        ]},
    ]);
    assert_eq!(written, expected);
}

#[test]
fn a_model_shows_no_media_to_itself() {
    let image = Media { source: MediaSource::Base64("AA".into()), media_type: None };

    assert_eq!(write_turn(Role::Assistant, vec![Content::Image(image)]), Err("messages[0].content".into()));
}

#[test]
fn what_clients_hand_back_empty_is_left_out() {
    let body = json!({"model": "m", "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": "", "refusal": null, "annotations": [], "function_call": null,
         "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "a", "content": null},
        {"role": "assistant", "content": ""},
    ]});

    let written = write_request(&read_request(body.to_string().as_bytes()).unwrap()).unwrap();

    let expected = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": ""},
        {"role": "assistant", "content": ""},
    ]);
    assert_eq!(written["messages"], expected);
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "id",
        "choices",
        "delta",
        "message",
        "messages",
        "role",
        "user",
        "assistant",
        "tool",
        "content",
        "type",
        "text",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "index",
        "finish_reason",
        "stop",
        "usage",
        "error",
        "model",
        "thinking_blocks",
        "extra_content",
        "google",
        "tools",
        "tool_choice",
        "response_format",
        "stream",
        "image_url",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(values in prop::collection::vec(any_json(), 1..6)) {
        let mut reader = StreamReader::default();
        let mut writer = StreamWriter::new(true);
        for value in values {
            let body = value.to_string();
            if let Ok(request) = read_request(body.as_bytes()) {
                let _ = write_request(&request);
            }
            if let Ok(answer) = read_answer(body.as_bytes()) {
                let _ = write_answer(&answer);
            }
            for event in reader.decode(&chunk(&value)).unwrap_or_default() {
                writer.encode(event);
            }
        }
    }
}
