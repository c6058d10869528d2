//! Chat completions and the Messages API, one put into the other: requests, answers and streams, in every direction.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};
use std::{fs, path::PathBuf};
use wire::{
    chat, messages,
    pivot::{Decode, Encode, TranslateError},
    sse,
};

fn golden(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("goldens").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn golden_json(name: &str) -> Value {
    serde_json::from_str(&golden(&format!("chat-messages/{name}.json"))).unwrap()
}

fn request_to_messages(chat: &Value) -> Result<Value, TranslateError> {
    messages::write_request(&chat::read_request(chat.to_string().as_bytes())?)
}

fn request_to_chat(messages: &Value) -> Result<Value, TranslateError> {
    chat::write_request(&messages::read_request(messages.to_string().as_bytes())?)
}

fn answer_to_messages(chat: &Value) -> Value {
    messages::write_answer(&chat::read_answer(chat.to_string().as_bytes()).unwrap())
}

fn answer_to_chat(messages: &Value) -> Value {
    chat::write_answer(&messages::read_answer(messages.to_string().as_bytes()).unwrap())
}

fn translate(stream: &str, from: &mut dyn Decode, to: &mut dyn Encode) -> String {
    let events = sse::Decoder::new(1 << 20).feed(stream.as_bytes()).unwrap();
    let events = events.iter().flat_map(|event| from.decode(event).unwrap());
    let written = events.flat_map(|event| to.encode(event));
    written.map(|event| String::from_utf8(event.encode().to_vec()).unwrap()).collect()
}

fn stream_to_messages(chat: &str) -> String {
    translate(chat, &mut chat::StreamReader::default(), &mut messages::StreamWriter::default())
}

fn stream_to_chat(messages: &str, shows_usage: bool) -> String {
    translate(messages, &mut messages::StreamReader::default(), &mut chat::StreamWriter::new(shows_usage))
}

#[track_caller]
fn assert_same(written: &Value, name: &str) {
    let expected = golden_json(name);
    assert_eq!(*written, expected, "{name} is not what was written: {written:#}");
}

#[test]
fn requests_say_the_same_in_either_dialect() {
    for case in ["tools", "thinking", "media"] {
        let (chat, messages) = (format!("{case}.request.chat"), format!("{case}.request.messages"));

        assert_same(&request_to_messages(&golden_json(&chat)).unwrap(), &messages);
        assert_same(&request_to_chat(&golden_json(&messages)).unwrap(), &chat);
    }
}

#[test]
fn what_openais_clients_send_suits_anthropic() {
    let written = request_to_messages(&golden_json("openai-client.request.chat")).unwrap();

    assert_same(&written, "openai-client.request.messages");
}

#[test]
fn what_anthropics_clients_send_suits_openai() {
    let written = request_to_chat(&golden_json("anthropic-client.request.messages")).unwrap();

    assert_same(&written, "anthropic-client.request.chat");
}

#[test]
fn answers_say_the_same_in_either_dialect() {
    for case in ["tools", "stop", "length"] {
        let (chat, messages) = (format!("{case}.answer.chat"), format!("{case}.answer.messages"));

        assert_same(&answer_to_messages(&golden_json(&chat)), &messages);
        assert_same(&answer_to_chat(&golden_json(&messages)), &chat);
    }
}

#[test]
fn answers_with_more_than_the_other_dialect_has_words_for_keep_the_rest() {
    assert_same(&answer_to_messages(&golden_json("openai.answer.chat")), "openai.answer.messages");
    assert_same(&answer_to_chat(&golden_json("anthropic.answer.messages")), "anthropic.answer.chat");
    assert_same(&answer_to_chat(&golden_json("refusal.answer.messages")), "refusal.answer.chat");
}

#[test]
fn an_answer_can_be_handed_back() {
    let told = answer_to_chat(&golden_json("tools.answer.messages"));

    let turn = told["choices"][0]["message"].clone();
    let back =
        request_to_messages(&json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}, turn]})).unwrap();

    assert_eq!(back["messages"][1]["content"], golden_json("tools.answer.messages")["content"]);
}

#[test]
fn streams_are_put_into_the_other_dialect() {
    let parallel = golden("chat-messages/parallel.stream.chat.sse");
    let native = golden("messages/native.stream.sse");

    assert_eq!(stream_to_messages(&parallel), golden("chat-messages/parallel.stream.messages.sse"));
    assert_eq!(stream_to_chat(&native, true), golden("chat-messages/native.stream.chat.sse"));
}

#[test]
fn recorded_servers_are_heard_in_the_messages_api() {
    for case in ["vllm-text", "vllm-tool", "llama-text"] {
        let written = stream_to_messages(&golden(&format!("chat/{case}.stream.sse")));

        assert_eq!(written, golden(&format!("chat-messages/{case}.stream.messages.sse")), "{case}");
    }
}

#[test]
fn a_stream_shows_its_usage_only_to_who_asked() {
    let written = stream_to_chat(&golden("messages/native.stream.sse"), false);

    assert!(!written.contains("usage") && written.ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_cut_stream_has_no_end_in_either_dialect() {
    let parallel = golden("chat-messages/parallel.stream.chat.sse");
    let native = golden("messages/native.stream.sse");

    let messages = stream_to_messages(parallel.strip_suffix("data: [DONE]\n\n").unwrap());
    let chat = stream_to_chat(native.split("event: message_stop").next().unwrap(), true);

    assert!(!messages.contains("message_delta") && !messages.contains("message_stop"));
    assert!(!chat.contains("[DONE]"));
}

#[test]
fn a_failure_amid_a_stream_is_told_and_ends_it() {
    let chat = r#"data: {"error":{"message":"Slow down.","type":"requests","code":429}}"#;
    let messages = r#"data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;

    let told = stream_to_messages(&format!("{chat}\n\ndata: [DONE]\n\n"));
    let other = stream_to_chat(&format!("event: error\n{messages}\n\n"), true);

    let error = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow down."}}"#;
    assert_eq!(told, format!("event: error\ndata: {error}\n\n"));
    let error = r#"{"error":{"message":"Overloaded","type":"overloaded_error","param":null,"code":null}}"#;
    assert_eq!(other, format!("data: {error}\n\n"));
}

/// A request with what is under test at its place; a list of parts is what the user says.
fn with(more: &Value) -> Value {
    let content = if more.is_array() { more.clone() } else { "Hi".into() };
    let mut request = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]});
    if let Value::Object(fields) = more {
        request.as_object_mut().unwrap().extend(fields.clone());
    }
    request
}

#[test]
fn what_anthropic_has_no_words_for_is_refused_in_the_callers_words() {
    for (more, param) in [
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"logit_bias": {"1": 2}}), "logit_bias"),
        (json!({"frequency_penalty": 1}), "frequency_penalty"),
        (json!({"presence_penalty": 1}), "presence_penalty"),
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
        (json!({"modalities": ["audio"]}), "modalities"),
        (json!({"moderation": {"model": "x"}}), "moderation"),
        (json!({"tools": [{"type": "custom", "custom": {"name": "x"}}]}), "tools[0]"),
        (json!([{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]), "messages[0].content[0]"),
        (json!([{"type": "video_url", "video_url": {"url": "https://x/a"}}]), "messages[0].content[0]"),
        (json!([{"type": "image_url", "image_url": {"url": "gs://x/a"}}]), "messages[0].content[0]"),
    ] {
        assert_eq!(request_to_messages(&with(&more)).unwrap_err().param.as_deref(), Some(param), "{more}");
    }
}

#[test]
fn what_chat_completions_have_no_words_for_is_refused() {
    let pdf = json!({"type": "base64", "media_type": "application/pdf", "data": "AA=="});
    for (more, param) in [
        (json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}), "tools[0]"),
        (json!({"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}), "mcp_servers"),
        (json!({"container": "c"}), "container"),
        (json!({"inference_geo": "us"}), "inference_geo"),
        (json!([{"type": "search_result", "source": "x", "title": "x", "content": []}]), "messages[0].content"),
        (json!([{"type": "document", "source": {"type": "url", "url": "https://x/a"}}]), "messages[0].content"),
        (json!([{"type": "document", "source": {"type": "content", "content": "x"}}]), "messages[0].content"),
        (json!([{"type": "document", "source": pdf, "context": "x"}]), "messages[0].content.context"),
        (json!([{"type": "document", "source": pdf, "citations": {"enabled": true}}]), "messages[0].content.citations"),
        (json!([{"type": "image", "source": {"type": "file", "file_id": "f"}}]), "messages[0].content"),
    ] {
        assert_eq!(request_to_chat(&with(&more)).unwrap_err().param.as_deref(), Some(param), "{more}");
    }
    let own = json!([{"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}}]);
    let request = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "assistant", "content": own}]});
    assert_eq!(request_to_chat(&request).unwrap_err().param.as_deref(), Some("messages[0].content"));
}
