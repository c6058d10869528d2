//! The Messages API against golden files: what is read and written again is the same, and each stream is read as it
//! must be and written as clients expect it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use serde_json::Value;
use std::{fs, path::PathBuf};
use wire::{
    messages::{StreamReader, StreamWriter, read_answer, read_request, write_answer, write_request},
    pivot::{Decode, Delta, Encode, Event, Finish, StreamError, ToolCall, Usage},
    sse,
};

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("goldens/messages").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn snapshot(name: &str, value: &impl std::fmt::Debug) {
    insta::with_settings!({ snapshot_path => "../goldens/messages", prepend_module_to_snapshot => false }, {
        insta::assert_debug_snapshot!(name, value);
    });
}

fn read_stream(stream: &[u8]) -> Vec<Event> {
    let mut reader = StreamReader::default();
    let events = sse::Decoder::new(1 << 20).feed(stream).unwrap();
    events.iter().flat_map(|event| reader.decode(event).unwrap()).collect()
}

fn write_stream(events: &[Event]) -> String {
    let mut writer = StreamWriter::default();
    let written = events.iter().cloned().flat_map(|event| writer.encode(event));
    written.map(|event| String::from_utf8(event.encode().to_vec()).unwrap()).collect()
}

#[track_caller]
fn assert_written(case: &str, events: &[Event]) {
    let written = write_stream(events);
    let expected = String::from_utf8(golden(&format!("{case}.stream.sse"))).unwrap();

    assert_eq!(written, expected, "{written}");
}

fn start(id: &str) -> Event {
    Event::Start { id: id.into(), model: "tiny".into(), created: Some(1_700_000_000) }
}

fn add(delta: Delta) -> Event {
    Event::Delta { choice: 0, delta }
}

fn text(text: &str) -> Event {
    add(Delta::Text(text.into()))
}

fn call(index: u64, id: &str, arguments: &str) -> Event {
    let call = ToolCall { id: id.into(), name: "weather".into(), arguments: arguments.into(), signature: None };
    add(Delta::ToolCallStart { index, call })
}

fn arguments(index: u64, text: &str) -> Event {
    add(Delta::ToolArguments { index, text: text.into() })
}

fn finish(finish: Finish) -> Event {
    Event::Finish { choice: 0, finish }
}

#[test]
fn requests_come_back_as_they_were() {
    for case in ["conversation", "budget"] {
        let body = golden(&format!("{case}.request.json"));
        let expected: Value = serde_json::from_slice(&body).unwrap();

        let request = read_request(&body).unwrap();
        let written = write_request(&request).unwrap();

        assert_eq!(written, expected, "{written:#}");
        snapshot(&format!("{case}.request"), &request);
    }
}

#[test]
fn answers_come_back_as_they_were() {
    for case in ["tools", "refusal", "stop-sequence"] {
        let body = golden(&format!("{case}.answer.json"));
        let expected: Value = serde_json::from_slice(&body).unwrap();

        let answer = read_answer(&body).unwrap();
        let written = write_answer(&answer);

        assert_eq!(written, expected, "{written:#}");
        snapshot(&format!("{case}.answer"), &answer);
    }
}

#[test]
fn vllm_answers_in_this_dialect_too() {
    snapshot("vllm.answer", &read_answer(&golden("vllm.answer.json")).unwrap());
    snapshot("vllm.stream", &read_stream(&golden("vllm.stream.sse")));
}

#[test]
fn a_native_stream_is_read_and_written_again() {
    let events = read_stream(&golden("native.stream.sse"));

    snapshot("native.stream", &events);
    assert_written("rewritten", &events);
    assert_eq!(read_stream(write_stream(&events).as_bytes()), events);
}

#[test]
fn a_failed_stream_ends_with_the_error() {
    let events = read_stream(&golden("failed.stream.sse"));

    snapshot("failed.stream", &events);
    assert!(write_stream(&events).ends_with(
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"
    ));
}

#[test]
fn another_dialects_stream_is_written_block_by_block() {
    let usage = Usage { input: 20, output: 9, cached: 16, cache_write: 0, reasoning: 4 };
    let events = [
        start("chatcmpl-1"),
        text(""),
        add(Delta::Thinking("Hm.".into())),
        text("Let me "),
        text("look."),
        call(0, "call_a", ""),
        arguments(0, "{\"city\": "),
        arguments(0, "\"Bonn\"}"),
        call(1, "call_b", "{\"city\": \"Köln\"}"),
        finish(Finish::ToolCalls),
        Event::Usage(usage),
        Event::Done,
    ];

    assert_written("tools", &events);
}

#[test]
fn a_declined_stream_ends_with_a_refusal() {
    let events = [start("chatcmpl-2"), add(Delta::Refusal("I won't.".into())), finish(Finish::Stop), Event::Done];

    assert_written("refusal", &events);
}

#[test]
fn another_providers_failure_is_told_in_words_of_this_dialect() {
    let error =
        StreamError { kind: "RESOURCE_EXHAUSTED".into(), code: Some("429".into()), message: "Slow down.".into() };

    assert_written("rate-limit", &[start("x"), text("Hello"), Event::Error(error)]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "type",
        "message",
        "content",
        "content_block",
        "delta",
        "index",
        "text",
        "thinking",
        "signature",
        "partial_json",
        "input",
        "id",
        "name",
        "source",
        "usage",
        "input_tokens",
        "stop_reason",
        "error",
        "messages",
        "role",
        "system",
        "tools",
        "output_config",
    ]);
    let words = prop::sample::select(vec![
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
        "text",
        "tool_use",
        "tool_result",
        "input_json_delta",
        "user",
        "image",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..3_u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..5)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_makes_the_readers_panic(values in prop::collection::vec(any_json(), 1..4)) {
        let mut reader = StreamReader::default();
        let mut writer = StreamWriter::default();
        for value in values {
            let data = value.to_string();
            if let Ok(request) = read_request(data.as_bytes()) {
                let _ = write_request(&request);
            }
            if let Ok(answer) = read_answer(data.as_bytes()) {
                let _ = write_answer(&answer);
            }
            for event in reader.decode(&sse::Event::new(None, data)).unwrap_or_default() {
                writer.encode(event);
            }
        }
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_split(at in 0..2000_usize) {
        let stream = golden("native.stream.sse");
        let mut decoder = sse::Decoder::new(1 << 20);
        let mut reader = StreamReader::default();

        let mut events = decoder.feed(&stream[..at]).unwrap();
        events.extend(decoder.feed(&stream[at..]).unwrap());

        let events: Vec<_> = events.iter().flat_map(|event| reader.decode(event).unwrap()).collect();
        prop_assert_eq!(events, read_stream(&stream));
    }
}
