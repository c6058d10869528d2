//! A conversation as `messages`. A user's turn with the results of tools becomes a message for each result, then one
//! with the rest.

use super::{PROVIDER, calls, content, object::Object, thinking};
use crate::pivot::{Content, Message, Part, Role, TranslateError};
use serde_json::{Map, Value, json};

/// Writes the conversation.
pub(super) fn write(messages: &[Message]) -> Result<Value, TranslateError> {
    let mut written = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let place = format!("messages[{number}]");
        match message.role {
            Role::System => written.push(write_plain("system", message.parts.iter().collect(), message, &place)?),
            Role::User => write_user(message, &place, &mut written)?,
            Role::Assistant => written.push(write_assistant(message, &place)?),
        }
    }
    Ok(written.into())
}

fn write_plain(role: &str, parts: Vec<&Part>, message: &Message, place: &str) -> Result<Value, TranslateError> {
    let mut written = json!({ "role": role, "content": content::write(&parts, &format!("{place}.content"))? });
    written.add_rest(&message.rest);
    Ok(written)
}

fn write_user(message: &Message, place: &str, written: &mut Vec<Value>) -> Result<(), TranslateError> {
    // A tool's message holds text alone, so what else came out waits until all results are told.
    let mut later = Vec::new();
    for part in &message.parts {
        if let Content::ToolResult { call_id, parts, is_error } = &part.content {
            let (texts, media): (Vec<_>, Vec<_>) = parts.iter().partition(|part| is_text(part));
            let mut told: Vec<Part> = texts.into_iter().cloned().collect();
            if !media.is_empty() {
                later.push(Part::text(format!("What the tool call {call_id} gave:")));
                later.extend(media.into_iter().cloned());
                if told.is_empty() {
                    told.push(Part::text("The result is in the next message of the user."));
                }
            }
            if *is_error == Some(true) {
                mark_error(&mut told);
            }
            written.push(write_result(call_id, &told, &part.rest, place)?);
        }
    }
    let has_results = message.parts.iter().any(|part| matches!(part.content, Content::ToolResult { .. }));
    let others = message.parts.iter().filter(|part| !matches!(part.content, Content::ToolResult { .. }));
    let parts: Vec<_> = later.iter().chain(others).collect();
    if !has_results || !parts.is_empty() {
        written.push(write_plain("user", parts, message, place)?);
    }
    Ok(())
}

fn is_text(part: &Part) -> bool {
    matches!(part.content, Content::Text(_))
}

/// The dialect can't tell that a call failed but in words.
fn mark_error(parts: &mut Vec<Part>) {
    match parts.first_mut() {
        Some(Part { content: Content::Text(text), .. }) if !text.is_empty() => text.insert_str(0, "Error: "),
        _ => parts.insert(0, Part::text("Error")),
    }
}

fn write_result(
    call_id: &str,
    parts: &[Part],
    rest: &Map<String, Value>,
    place: &str,
) -> Result<Value, TranslateError> {
    let content = content::write(&parts.iter().collect::<Vec<_>>(), place)?;
    let mut written = json!({ "role": "tool", "tool_call_id": call_id, "content": content });
    written.add_rest(rest);
    Ok(written)
}

/// Reasoning, text and calls have a field each, so their order among each other is lost; text is said before calls.
fn write_assistant(message: &Message, place: &str) -> Result<Value, TranslateError> {
    let mut said = Vec::new();
    let mut calls = Vec::new();
    for part in &message.parts {
        match &part.content {
            Content::Thinking { .. } | Content::RedactedThinking(_) => {}
            Content::ToolCall(call) => calls.push(calls::write(call, &part.rest)),
            Content::Other(call) if is_call(call) => calls.push(call.clone()),
            Content::Text(_) | Content::Refusal(_) | Content::Other(_) => said.push(part),
            // Only a user shows media.
            Content::Image(_) | Content::File(_) | Content::Audio(_) | Content::ToolResult { .. } => {
                return Err(TranslateError::unsupported(format!("{place}.content"), PROVIDER));
            }
        }
    }
    let mut written = json!({ "role": "assistant" });
    // Absent is better than null or empty beside calls, but a message without either is refused.
    if !said.is_empty() || calls.is_empty() {
        written.add("content", Some(content::write(&said, &format!("{place}.content"))?));
    }
    written.add("reasoning_content", thinking::write_text(message.parts.iter()));
    written.add("thinking_blocks", thinking::write_blocks(message.parts.iter()));
    written.add("tool_calls", (!calls.is_empty()).then_some(calls));
    written.add_rest(&message.rest);
    Ok(written)
}

/// As OpenAI's calls of `custom` tools, kept as they came.
fn is_call(value: &Value) -> bool {
    value.get("id").is_some() && value["type"].as_str().is_some_and(|kind| value.get(kind).is_some())
}
