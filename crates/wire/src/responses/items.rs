//! The items of an answer and their ids. An id follows from the answer's and from the item's number, so that a stream
//! and a retry of writing name the same things.

use super::sealed::Sealed;
use crate::pivot::{Media, MediaSource, ToolCall};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

pub(super) const COMPLETED: &str = "completed";
pub(super) const IN_PROGRESS: &str = "in_progress";
pub(super) const INCOMPLETE: &str = "incomplete";

/// Adds the fields of an object to another.
pub(super) fn with(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

/// The answer's id in this dialect; the provider's id stays visible in it.
pub(super) fn response_id(answer_id: &str) -> String {
    if answer_id.starts_with("resp_") { answer_id.to_owned() } else { format!("resp_{answer_id}") }
}

/// The id of the item with this number. OpenAI allows 64 characters.
pub(super) fn item_id(prefix: &str, answer_id: &str, output_index: usize) -> String {
    format!("{prefix}_{:032x}", xxh3_128(format!("{answer_id}\n{output_index}").as_bytes()))
}

pub(super) fn message(id: &str, status: &str, content: &[Value]) -> Value {
    json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": content })
}

pub(super) fn output_text(text: &str, logprobs: &[Value]) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": logprobs })
}

pub(super) fn refusal(text: &str) -> Value {
    json!({ "type": "refusal", "refusal": text })
}

pub(super) fn reasoning(id: &str, status: &str, text: &str, as_summary: bool, sealed: Option<&Sealed>) -> Value {
    let mut item = json!({ "id": id, "type": "reasoning", "status": status, "summary": [] });
    if as_summary && !text.is_empty() {
        item["summary"] = json!([summary_text(text)]);
    } else if !text.is_empty() {
        item["content"] = json!([reasoning_text(text)]);
    }
    if let Some(sealed) = sealed {
        item["encrypted_content"] = sealed.write().into();
    }
    item
}

pub(super) fn summary_text(text: &str) -> Value {
    json!({ "type": "summary_text", "text": text })
}

pub(super) fn reasoning_text(text: &str) -> Value {
    json!({ "type": "reasoning_text", "text": text })
}

pub(super) fn function_call(id: &str, status: &str, call: &ToolCall) -> Value {
    json!({
        "id": id,
        "type": "function_call",
        "status": status,
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    })
}

/// An image has words in this dialect only as what a tool made.
pub(super) fn image(id: &str, image: &Media) -> Option<Value> {
    let MediaSource::Base64(data) = &image.source else { return None };
    let format = image.media_type.as_deref().and_then(|media_type| media_type.strip_prefix("image/"));
    let status = COMPLETED;
    Some(json!({
        "id": id,
        "type": "image_generation_call",
        "status": status,
        "result": data,
        "output_format": format.unwrap_or("png"),
    }))
}

/// The tokens of logprobs in the form of chat completions. There `bytes` may be null, here not.
pub(super) fn tokens(logprobs: Value) -> Vec<Value> {
    let Value::Object(mut logprobs) = logprobs else { return Vec::new() };
    let Some(Value::Array(mut tokens)) = logprobs.remove("content") else { return Vec::new() };
    tokens.retain(Value::is_object);
    for token in &mut tokens {
        fill_bytes(token);
        if !token["top_logprobs"].is_array() {
            token["top_logprobs"] = json!([]);
        }
        token["top_logprobs"].as_array_mut().into_iter().flatten().for_each(fill_bytes);
    }
    tokens
}

fn fill_bytes(token: &mut Value) {
    if token.is_object() && !token["bytes"].is_array() {
        token["bytes"] = token["token"].as_str().unwrap_or_default().as_bytes().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_the_answers() {
        assert_eq!(response_id("chatcmpl-1"), "resp_chatcmpl-1");
        assert_eq!(response_id("resp_1"), "resp_1");
        assert_eq!(item_id("msg", "a", 0), item_id("msg", "a", 0));
        assert_ne!(item_id("msg", "a", 0), item_id("msg", "a", 1));
        assert_ne!(item_id("msg", "a", 0), item_id("msg", "b", 0));
        assert_eq!(item_id("msg", "a", 0).len(), 36);
    }

    #[test]
    fn tokens_have_their_bytes() {
        let top = json!([{"token": "b", "logprob": -1.0}]);
        let told = json!({"content": [{"token": "é", "logprob": -0.5, "bytes": null, "top_logprobs": top}, 7]});

        let tokens = tokens(told);

        let top = json!([{"token": "b", "logprob": -1.0, "bytes": [98]}]);
        assert_eq!(tokens, [json!({"token": "é", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": top})]);
        assert!(super::tokens(Value::Null).is_empty());
    }
}
