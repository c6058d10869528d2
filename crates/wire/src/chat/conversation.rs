//! `messages` as a conversation. The results of tools, each a message of its own here, are parts of one user's turn.

use super::{calls, content, thinking};
use crate::{
    fields::{Fields, objects},
    pivot::{Content, Message, Part, Role, TranslateError},
};
use serde_json::Map;

/// Reads the conversation.
pub(super) fn read(body: &mut Fields) -> Result<Vec<Message>, TranslateError> {
    let list = body.list("messages")?.ok_or_else(|| body.error("messages", "is required."))?;
    if list.is_empty() {
        return Err(body.error("messages", "must not be empty."));
    }
    let mut messages = Vec::new();
    for (number, message) in objects(list, "messages")?.into_iter().enumerate() {
        read_message(message, number, &mut messages)?;
    }
    Ok(messages)
}

fn read_message(mut message: Fields, number: usize, messages: &mut Vec<Message>) -> Result<(), TranslateError> {
    let role = match message.required_string("role")?.as_str() {
        // Two names for the same: OpenAI reads either as what the model knows.
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => {
            let parts = read_assistant(&mut message, number)?;
            messages.push(Message { role: Role::Assistant, parts, rest: message.rest() });
            return Ok(());
        }
        "tool" => return read_result(message, messages),
        "function" => return Err(message.error("role", "is `function`, which is not supported; use `tool`.")),
        other => {
            let why = format!("is `{other}`; it must be `system`, `developer`, `user`, `assistant` or `tool`.");
            return Err(message.error("role", &why));
        }
    };
    let content = message.take("content").ok_or_else(|| message.error("content", "is required."))?;
    let parts = content::read(Some(content), &message.place("content"))?;
    messages.push(Message { role, parts, rest: message.rest() });
    Ok(())
}

fn read_assistant(message: &mut Fields, number: usize) -> Result<Vec<Part>, TranslateError> {
    message.refuse("function_call", "is not supported; use `tool_calls`.")?;
    // What an earlier answer told about its text; the model never saw it.
    message.ignore(&["annotations", "citations"]);
    let mut parts = thinking::read(message)?;
    let content = message.take("content");
    let said = content::read(content, &message.place("content"))?;
    let refusal = message.string("refusal")?.filter(|text| !text.is_empty());
    let images = message.take("images");
    let images = content::read(images, &message.place("images"))?;
    let calls = calls::read(message, |call| format!("call_{number}_{call}"))?;
    let says_more = !parts.is_empty() || refusal.is_some() || !images.is_empty() || !calls.is_empty();
    // Clients hand back an empty text beside calls, which other dialects refuse.
    parts.extend(said.into_iter().filter(|part| !says_more || !is_empty(part)));
    parts.extend(refusal.map(|text| Part::new(Content::Refusal(text))));
    parts.extend(images);
    parts.extend(calls);
    Ok(parts)
}

fn is_empty(part: &Part) -> bool {
    matches!(&part.content, Content::Text(text) if text.is_empty())
}

fn read_result(mut message: Fields, messages: &mut Vec<Message>) -> Result<(), TranslateError> {
    let call_id = message.required_string("tool_call_id")?;
    let content = message.take("content");
    let parts = content::read(content, &message.place("content"))?;
    let part = Part { content: Content::ToolResult { call_id, parts, is_error: None }, rest: message.rest() };
    match messages.last_mut().filter(|last| holds_results(last)) {
        Some(last) => last.parts.push(part),
        None => messages.push(Message { role: Role::User, parts: vec![part], rest: Map::new() }),
    }
    Ok(())
}

fn holds_results(message: &Message) -> bool {
    message.role == Role::User
        && !message.parts.is_empty()
        && message.parts.iter().all(|part| matches!(part.content, Content::ToolResult { .. }))
}
