//! Gemini's dialect against golden files: requests as they must be written, answers and streams as they are read.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::{fs, path::PathBuf};
use wire::{
    gemini::{StreamReader, read_answer, write_request},
    pivot::{
        Content, Decode, Event, Format, Function, Logprobs, Media, MediaSource, Message, Part, Reasoning, Request,
        Role, Sampling, Tool, ToolCall, ToolChoice, TranslateError,
    },
    sse,
};

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("goldens/gemini").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn snapshot(name: &str, value: &impl std::fmt::Debug) {
    insta::with_settings!({ snapshot_path => "../goldens/gemini", prepend_module_to_snapshot => false }, {
        insta::assert_debug_snapshot!(name, value);
    });
}

#[track_caller]
fn assert_written(case: &str, request: &Request) {
    let expected: Value = serde_json::from_slice(&golden(&format!("{case}.request.json"))).unwrap();
    let written = write_request(request).unwrap();

    assert_eq!(written, expected, "{written:#}");
    // Bytes must be introduced; equality of values says nothing of their order.
    let text = written.to_string();
    assert_eq!(text.matches("{\"mimeType\":").count(), text.matches("\"mimeType\":").count());
}

fn message(role: Role, contents: Vec<Content>) -> Message {
    Message { role, parts: contents.into_iter().map(Part::new).collect(), rest: Map::new() }
}

fn text(text: &str) -> Content {
    Content::Text(text.into())
}

fn media(source: MediaSource, media_type: Option<&str>) -> Media {
    Media { source, media_type: media_type.map(Into::into) }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn hi() -> Request {
    Request {
        model: "gemini-3-flash".into(),
        messages: vec![message(Role::User, vec![text("Hi")])],
        ..Request::default()
    }
}

fn question() -> Message {
    let mut tower = Part::new(Content::Image(media(MediaSource::Url("https://example.com/tower.jpg".into()), None)));
    tower.rest = object(json!({"detail": "low", "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}}));
    let mut question = message(
        Role::User,
        vec![
            text("What is this, and how warm is it there?"),
            Content::Image(media(MediaSource::Url("data:image/png;base64,iVBORw0KGgo=".into()), None)),
            Content::File(media(MediaSource::Url("gs://bucket/map.pdf".into()), None)),
            Content::Audio(media(MediaSource::Base64("UklGRg==".into()), Some("audio/wav"))),
        ],
    );
    question.parts.insert(2, tower);
    question
}

fn calls() -> Message {
    let weather = ToolCall {
        id: "1".into(),
        name: "get_weather".into(),
        arguments: r#"{"city":"Paris"}"#.into(),
        signature: Some("c2lnbmF0dXJl".into()),
    };
    let map = ToolCall { id: "2".into(), name: "get_map".into(), ..ToolCall::default() };
    let thinking = Content::Thinking { text: "I need tools.".into(), signature: None };
    message(Role::Assistant, vec![thinking, text("Let me look."), Content::ToolCall(weather), Content::ToolCall(map)])
}

fn results() -> Vec<Message> {
    let image = Part::new(Content::Image(media(MediaSource::Base64("AAAA".into()), Some("image/png"))));
    let map = Content::ToolResult {
        call_id: "2".into(),
        parts: vec![Part::text("no map"), image, Part::text("only this")],
        is_error: Some(true),
    };
    let weather =
        Content::ToolResult { call_id: "1".into(), parts: vec![Part::text(r#"{"celsius":21}"#)], is_error: None };
    vec![message(Role::User, vec![map]), message(Role::User, vec![weather, text("And tomorrow?")])]
}

#[test]
fn a_conversation_with_tools_and_media_is_written() {
    let system = message(Role::System, vec![text("Be brief."), text("Use tools.")]);
    let weather = Function {
        name: "get_weather".into(),
        description: Some("The weather of a city.".into()),
        parameters: Some(json!({
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": false,
        })),
        strict: Some(true),
        rest: Map::new(),
    };
    let map = Function { name: "get_map".into(), parameters: Some(json!({"type": "object"})), ..Function::default() };
    let request = Request {
        messages: [vec![system, question(), calls()], results()].concat(),
        tools: vec![Tool::Function(weather), Tool::Other(json!({"googleSearch": {}})), Tool::Function(map)],
        tool_choice: Some(ToolChoice::Function("get_weather".into())),
        parallel_tool_calls: Some(true),
        user: Some("someone".into()),
        ..hi()
    };

    assert_written("conversation", &request);
}

#[test]
fn how_to_generate_is_written() {
    let schema = json!({
        "type": "object",
        "properties": {"city": {"$ref": "#/$defs/City", "description": "Where."}},
        "$defs": {"City": {"type": "string"}},
    });
    let request = Request {
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            seed: Some(7),
            frequency_penalty: Some(-0.5),
            presence_penalty: Some(0.25),
        },
        max_tokens: Some(1000),
        stop: vec!["END".into(), "\n\n".into()],
        n: Some(2),
        logprobs: Some(Logprobs { top: Some(3) }),
        reasoning: Some(Reasoning { effort: Some("low".into()), ..Reasoning::default() }),
        format: Some(Format::JsonSchema { name: Some("city".into()), schema, strict: Some(true), rest: Map::new() }),
        stream: true,
        include_usage: true,
        ..hi()
    };

    assert_written("generation", &request);
}

#[test]
fn googles_own_fields_pass_and_harmless_ones_stay_behind() {
    let request = Request {
        sampling: Sampling { temperature: Some(1.0), top_p: Some(0.9), ..Sampling::default() },
        tools: vec![Tool::Function(Function { name: "f".into(), ..Function::default() })],
        tool_choice: Some(ToolChoice::Auto),
        rest: object(json!({
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}],
            "cached_content": "projects/p/locations/l/cachedContents/1",
            "labels": {"team": "search"},
            "generationConfig": {"audioTimestamp": true, "topP": 0.5},
            "toolConfig": {"retrievalConfig": {"languageCode": "en"}},
            "metadata": {"a": "b"},
            "store": true,
            "modalities": ["text"],
            "logit_bias": {},
            "audio": null,
        })),
        ..hi()
    };

    assert_written("own-fields", &request);
}

#[test]
fn fields_without_words_are_refused_by_name() {
    for (name, value) in [
        ("logit_bias", json!({"50256": -100})),
        ("modalities", json!(["text", "audio"])),
        ("min_p", json!(0.1)),
        ("previous_response_id", json!("resp_1")),
    ] {
        let request = Request { rest: [(name.to_owned(), value)].into_iter().collect(), ..hi() };

        let error = write_request(&request).unwrap_err();

        assert_eq!(error.param.as_deref(), Some(name));
        assert!(error.message.contains("Vertex AI"), "{error}");
    }
}

#[test]
fn answers_are_read() {
    for case in ["text.answer", "tool-calls.answer", "blocked.answer"] {
        snapshot(case, &read_answer(&golden(&format!("{case}.json"))).unwrap());
    }
}

#[test]
fn what_is_no_answer_is_refused() {
    for body in ["", "[]", "{}", r#"{"candidates":[]}"#, r#"{"candidates":[{"content":{"parts":[{"text":7}]}}]}"#] {
        assert!(read_answer(body.as_bytes()).is_err(), "{body}");
    }
    let error = read_answer(br#"{"error":{"code":500,"message":"Oops.","status":"INTERNAL"}}"#).unwrap_err();
    assert!(error.message.contains("INTERNAL Oops."), "{error}");
}

fn decode(reader: &mut StreamReader, bytes: &[u8]) -> Result<Vec<Event>, TranslateError> {
    let mut events = Vec::new();
    for event in sse::Decoder::new(1 << 20).feed(bytes).unwrap() {
        events.extend(reader.decode(&event)?);
    }
    Ok(events)
}

#[test]
fn streams_are_read() {
    for (case, candidates) in [
        ("text.stream", 1),
        ("tool-calls.stream", 1),
        ("two-candidates.stream", 2),
        ("blocked.stream", 1),
        ("failed.stream", 1),
    ] {
        let mut reader = StreamReader::new(candidates);

        snapshot(case, &decode(&mut reader, &golden(&format!("{case}.sse"))).unwrap());
    }
}

#[test]
fn a_stream_that_was_cut_is_never_done() {
    for (case, candidates) in [("text.stream", 1), ("tool-calls.stream", 1), ("two-candidates.stream", 2)] {
        let stream = String::from_utf8(golden(&format!("{case}.sse"))).unwrap();
        let chunks: Vec<_> = stream.split_inclusive("\n\n").collect();
        for kept in 0..chunks.len() {
            let events = decode(&mut StreamReader::new(candidates), chunks[..kept].concat().as_bytes()).unwrap();

            assert!(!events.contains(&Event::Done), "{case} after {kept} events");
        }
    }
}

#[test]
fn a_call_has_the_same_id_whole_and_streamed() {
    let ids = |text: String| -> Vec<String> {
        let ids = text.split('"').filter(|text| text.starts_with("call_"));
        ids.map(ToOwned::to_owned).collect()
    };
    let whole = ids(format!("{:?}", read_answer(&golden("tool-calls.answer.json")).unwrap()));

    let streamed =
        ids(format!("{:?}", decode(&mut StreamReader::default(), &golden("tool-calls.stream.sse")).unwrap()));

    assert_eq!(whole.len(), 2);
    assert_eq!(whole, streamed[..2]);
}

#[test]
fn a_broken_chunk_is_an_error() {
    for data in [
        "{",
        "7",
        "[DONE]",
        r#"{"candidates":7}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","partialArgs":[]}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"AA"}}]}}]}"#,
    ] {
        let event = sse::Event::new(None, data.into());

        assert!(StreamReader::default().decode(&event).is_err(), "{data}");
    }
}

#[test]
fn a_candidate_says_nothing_after_its_end() {
    let chunk = |text: &str| {
        let data = json!({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}]});
        sse::Event::new(None, data.to_string())
    };
    let mut reader = StreamReader::default();

    assert_eq!(reader.decode(&chunk("a")).unwrap().len(), 3);
    assert_eq!(reader.decode(&chunk("")), Ok(Vec::new()));
    assert!(reader.decode(&chunk("b")).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "candidates",
        "content",
        "parts",
        "text",
        "thought",
        "functionCall",
        "name",
        "args",
        "finishReason",
        "index",
        "usageMetadata",
        "promptTokenCount",
        "promptFeedback",
        "blockReason",
        "error",
        "logprobsResult",
        "createTime",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "STOP|SAFETY|9999-12-31T99:99:99Z|\\PC{0,8}".prop_map(Value::from),
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
        for value in values {
            let data = value.to_string();
            let _ = read_answer(data.as_bytes());
            let _ = reader.decode(&sse::Event::new(None, data));
        }
    }
}
