//! Content blocks: what messages, tool results and answers consist of.

use super::{PROVIDER, media};
use crate::{
    arguments,
    fields::{Fields, must_be},
    pivot::{Content, Media, Part, ToolCall, TranslateError},
};
use serde_json::{Map, Value, json};

/// What other dialects say of a part: how fine to look at an image, which tool gave a result, where their own caches
/// begin, what an earlier answer told about its text, and Google's own; under the names of inner objects, what they
/// keep of those. It says little about what is wanted, and Anthropic refuses what it does not know.
const FOREIGN: [&str; 13] = [
    "detail",
    "filename",
    "name",
    "prompt_cache_breakpoint",
    "annotations",
    "logprobs",
    "thoughtSignature",
    "mediaResolution",
    "videoMetadata",
    "image_url",
    "input_audio",
    "file",
    "function",
];

/// Reads a `content`: a string, or a list of blocks.
pub(super) fn read(value: Option<Value>, place: &str) -> Result<Vec<Part>, TranslateError> {
    match value {
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(list)) => {
            list.into_iter().enumerate().map(|(index, block)| read_block(block, format!("{place}[{index}]"))).collect()
        }
        _ => Err(must_be(place, "a string or a list of content blocks")),
    }
}

fn read_block(value: Value, place: String) -> Result<Part, TranslateError> {
    let Some(kind) = value["type"].as_str().map(str::to_owned) else {
        return Err(must_be(&place, "an object with a `type`"));
    };
    let is_media = matches!(kind.as_str(), "image" | "document");
    if is_media && !media::is_known(&value["source"]) {
        return Ok(Part::new(Content::Other(value)));
    }
    let mut block = Fields::new(value, place)?;
    block.ignore(&["type"]);
    let content = match kind.as_str() {
        "text" => Content::Text(block.required_string("text")?),
        "thinking" => Content::Thinking {
            text: block.string("thinking")?.unwrap_or_default(),
            signature: block.string("signature")?.filter(|signature| !signature.is_empty()),
        },
        "redacted_thinking" => Content::RedactedThinking(block.required_string("data")?),
        "tool_use" => Content::ToolCall(read_call(&mut block)?),
        "tool_result" => read_result(&mut block)?,
        "image" => Content::Image(media::read(block.required_object("source")?)?),
        "document" => return read_document(block),
        _ => {
            let mut other = block.rest();
            other.shift_insert(0, "type".into(), kind.into());
            return Ok(Part::new(Content::Other(other.into())));
        }
    };
    Ok(Part { content, rest: block.rest() })
}

fn read_call(block: &mut Fields) -> Result<ToolCall, TranslateError> {
    let input = block.object("input")?.map(Fields::rest).unwrap_or_default();
    Ok(ToolCall {
        id: block.required_string("id")?,
        name: block.required_string("name")?,
        arguments: Value::from(input).to_string(),
        signature: block.string("signature")?,
    })
}

fn read_result(block: &mut Fields) -> Result<Content, TranslateError> {
    let place = block.place("content");
    let content = block.take("content");
    Ok(Content::ToolResult {
        call_id: block.required_string("tool_use_id")?,
        parts: if content.is_some() { read(content, &place)? } else { Vec::new() },
        is_error: block.boolean("is_error")?,
    })
}

/// A document's title is its file name elsewhere.
fn read_document(mut block: Fields) -> Result<Part, TranslateError> {
    let source = media::read(block.required_object("source")?)?;
    let title = block.string("title")?;
    let mut rest = block.rest();
    if let Some(title) = title {
        rest.insert("filename".into(), title.into());
    }
    Ok(Part { content: Content::File(source), rest })
}

/// Writes a part of a request; none if it says nothing that Anthropic wants to hear.
pub(super) fn write(part: &Part, place: &str) -> Result<Option<Value>, TranslateError> {
    let block = match &part.content {
        Content::Audio(_) => return Err(TranslateError::unsupported(place, PROVIDER)),
        Content::Other(value) if is_foreign(value) => return Err(TranslateError::unsupported(place, PROVIDER)),
        // Anthropic refuses a text without a letter.
        Content::Text(text) | Content::Refusal(text) if text.trim().is_empty() => return Ok(None),
        Content::Text(text) | Content::Refusal(text) => write_text(text),
        // Anthropic refuses thoughts that it did not sign.
        Content::Thinking { signature: None, .. } => return Ok(None),
        Content::Thinking { text, signature } => write_thinking(text, signature.as_deref()),
        Content::RedactedThinking(data) => write_redacted(data),
        Content::Image(media) => json!({ "type": "image", "source": media::write_image(media, place)? }),
        Content::File(media) if media::is_image(media) => {
            json!({ "type": "image", "source": media::write_image(media, place)? })
        }
        Content::File(media) => write_document(media, &part.rest, place)?,
        Content::ToolCall(call) => write_call(call, &write_id(&call.id)),
        Content::ToolResult { call_id, parts, is_error } => write_result(call_id, parts, *is_error, place)?,
        Content::Other(value) => value.clone(),
    };
    Ok(Some(with_rest(block, &part.rest, &FOREIGN)))
}

/// Writes a part of an answer.
pub(super) fn write_made(part: &Part) -> Value {
    let made = |kind: &str, media: &Media| json!({ "type": kind, "source": media::write_made(media) });
    let block = match &part.content {
        Content::Text(text) | Content::Refusal(text) => write_text(text),
        Content::Thinking { text, signature } => write_thinking(text, signature.as_deref()),
        Content::RedactedThinking(data) => write_redacted(data),
        Content::Image(media) => made("image", media),
        Content::File(media) => made("document", media),
        Content::Audio(media) => made("audio", media),
        Content::ToolCall(call) => write_made_call(call, &call.arguments),
        // No model answers with the result of a caller's tool.
        Content::ToolResult { call_id, .. } => json!({ "type": "tool_result", "tool_use_id": call_id }),
        Content::Other(value) => value.clone(),
    };
    with_rest(block, &part.rest, &[])
}

pub(super) fn write_text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// Without a signature it is empty: clients count on it.
pub(super) fn write_thinking(text: &str, signature: Option<&str>) -> Value {
    json!({ "type": "thinking", "thinking": text, "signature": signature.unwrap_or_default() })
}

pub(super) fn write_redacted(data: &str) -> Value {
    json!({ "type": "redacted_thinking", "data": data })
}

/// A call for a caller. Another provider's signature travels as a field of ours, which most clients hand back.
pub(super) fn write_made_call(call: &ToolCall, arguments: &str) -> Value {
    let call = ToolCall { arguments: arguments.into(), ..call.clone() };
    let mut block = write_call(&call, &call.id);
    if let Some(signature) = call.signature {
        block["signature"] = signature.into();
    }
    block
}

fn write_call(call: &ToolCall, id: &str) -> Value {
    let input = arguments::read(&call.arguments);
    json!({ "type": "tool_use", "id": id, "name": call.name, "input": input })
}

/// Anthropic refuses ids with other characters, which other models' calls may have.
fn write_id(id: &str) -> String {
    let may_stay = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    id.chars().map(|letter| if may_stay(letter) { letter } else { '_' }).collect()
}

fn write_result(call_id: &str, parts: &[Part], is_error: Option<bool>, place: &str) -> Result<Value, TranslateError> {
    let mut result = json!({ "type": "tool_result", "tool_use_id": write_id(call_id) });
    let mut blocks = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        blocks.extend(write(part, &format!("{place}.content[{index}]"))?);
    }
    if !blocks.is_empty() {
        result["content"] = as_string_if_plain(blocks);
    }
    if let Some(is_error) = is_error {
        result["is_error"] = is_error.into();
    }
    Ok(result)
}

fn write_document(media: &Media, rest: &Map<String, Value>, place: &str) -> Result<Value, TranslateError> {
    let mut block = json!({ "type": "document", "source": media::write_document(media, place)? });
    if let Some(title) = rest.get("filename").filter(|title| title.is_string()) {
        block["title"] = title.clone();
    }
    Ok(block)
}

/// One text with nothing else to it is a string.
pub(super) fn as_string_if_plain(blocks: Vec<Value>) -> Value {
    match &blocks[..] {
        [Value::Object(block)] if block.len() == 2 && block["type"] == "text" => block["text"].clone(),
        _ => blocks.into(),
    }
}

/// Parts that OpenAI's dialects and vLLM's have, as `video_url`. Other unknown ones are Anthropic's, maybe new.
fn is_foreign(value: &Value) -> bool {
    value["type"].as_str().is_none_or(|kind| kind.ends_with("_url") || kind.starts_with("input_"))
}

/// Adds the fields that nobody here knows.
pub(super) fn with_rest(mut written: Value, rest: &Map<String, Value>, skip: &[&str]) -> Value {
    if let Value::Object(fields) = &mut written {
        for (name, value) in rest {
            if !skip.contains(&name.as_str()) && !value.is_null() && !fields.contains_key(name) {
                fields.insert(name.clone(), value.clone());
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pivot::MediaSource;

    fn read_one(block: Value) -> Part {
        read(Some(json!([block])), "c").unwrap().remove(0)
    }

    #[test]
    fn a_block_comes_back_as_it_was() {
        for block in [
            json!({"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}, "new": 1}),
            json!({"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}),
            json!({"type": "redacted_thinking", "data": "x"}),
            json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"b": 1, "a": [2]}}),
            json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": "1", "is_error": true}),
            json!({"type": "tool_result", "tool_use_id": "toolu_1"}),
            json!({"type": "document", "source": {"type": "url", "url": "https://x/a"}, "title": "A", "context": "B"}),
            json!({"type": "document", "source": {"type": "content", "content": "x"}, "title": "A"}),
            json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}),
        ] {
            let written = write(&read_one(block.clone()), "p").unwrap().unwrap();

            assert_eq!(written, block);
        }
    }

    #[test]
    fn what_anthropic_would_refuse_is_left_out() {
        let thinking = Content::Thinking { text: "Hm.".into(), signature: None };
        for content in [Content::Text(" \n".into()), Content::Refusal(String::new()), thinking] {
            assert_eq!(write(&Part::new(content), "p").unwrap(), None);
        }
        let mut part = Part::text("x");
        part.rest.insert("annotations".into(), json!([]));
        assert_eq!(write(&part, "p").unwrap().unwrap(), write_text("x"));
        let result = Content::ToolResult { call_id: "a".into(), parts: vec![], is_error: None };
        let part = Part { content: result, rest: [("name".to_owned(), json!("f"))].into_iter().collect() };
        assert_eq!(write(&part, "p").unwrap().unwrap(), json!({"type": "tool_result", "tool_use_id": "a"}));
    }

    #[test]
    fn a_call_of_another_model_is_put_in_order() {
        for (arguments, input) in
            [("", json!({})), ("{\"a", json!({"arguments": "{\"a"})), ("[1]", json!({"arguments": "[1]"}))]
        {
            let call = ToolCall {
                id: "call:1.f".into(),
                name: "f".into(),
                arguments: arguments.into(),
                signature: Some("c2ln".into()),
            };

            let written = write(&Part::new(Content::ToolCall(call)), "p").unwrap().unwrap();

            assert_eq!(written, json!({"type": "tool_use", "id": "call_1_f", "name": "f", "input": input}));
        }
    }

    #[test]
    fn what_has_no_words_is_refused_by_its_place() {
        let audio = Media { source: MediaSource::Base64("AA".into()), media_type: None };
        let result = Content::ToolResult {
            call_id: "a".into(),
            parts: vec![Part::new(Content::Audio(audio.clone()))],
            is_error: None,
        };
        for (content, place) in [
            (Content::Audio(audio), "p"),
            (Content::Other(json!({"type": "video_url"})), "p"),
            (result, "p.content[0]"),
        ] {
            assert_eq!(write(&Part::new(content), "p").unwrap_err().param.as_deref(), Some(place));
        }
    }

    #[test]
    fn a_block_that_cannot_be_read_is_named() {
        for (block, place) in [
            (json!("x"), "c[0]"),
            (json!({"text": "x"}), "c[0]"),
            (json!({"type": "text"}), "c[0].text"),
            (json!({"type": "tool_use", "id": "a", "name": "f", "input": "x"}), "c[0].input"),
            (json!({"type": "tool_result", "tool_use_id": "a", "content": 1}), "c[0].content"),
            (json!({"type": "image", "source": {"type": "url"}}), "c[0].source.url"),
        ] {
            assert_eq!(read(Some(json!([block])), "c").unwrap_err().param.as_deref(), Some(place));
        }
    }
}
