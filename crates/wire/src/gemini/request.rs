//! Requests: the top level, and what happens to fields the pivot does not know.

use super::{PROVIDER, contents::Conversation, generation, tools};
use crate::pivot::{Request, TranslateError};
use serde_json::{Map, Value};

/// Google's own fields, passed on under the name they came with. It reads both spellings.
const OWN: [&str; 8] = [
    "safetySettings",
    "safety_settings",
    "cachedContent",
    "cached_content",
    "labels",
    "modelArmorConfig",
    "model_armor_config",
    "serviceTier",
];

/// Google's own objects that add to ours, and win.
const OWN_OBJECTS: [&str; 2] = ["generationConfig", "toolConfig"];

/// Fields that do not change what the model answers: who asks, how the provider bills, stores, caches or logs.
const HARMLESS: [&str; 19] = [
    "metadata",
    "store",
    "service_tier",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "stream_options",
    "cache_control",
    "context_management",
    "anthropic_version",
    "anthropic_beta",
    "betas",
    "include",
    "include_reasoning",
    "truncation",
    "priority",
    "request_id",
    "cache_salt",
];

/// Writes the body of `:generateContent` and `:streamGenerateContent`. `request.model` must be the name the provider
/// has for the model, since Gemini 3 is spoken to a little differently; whether to stream is said by the path.
///
/// # Errors
/// When the request asks for something this dialect has no words for.
pub fn write_request(request: &Request) -> Result<Value, TranslateError> {
    let (system, contents) = Conversation::of(&request.model, &request.messages)?.write();
    let mut body = Map::new();
    if let Some(system) = system {
        body.insert("systemInstruction".into(), system);
    }
    body.insert("contents".into(), contents);
    if let Some(tools) = tools::write_tools(&request.tools)? {
        body.insert("tools".into(), tools);
    }
    if let Some(config) = tools::write_tool_config(request)? {
        body.insert("toolConfig".into(), config);
    }
    let generation = generation::write(request)?;
    if !generation.is_empty() {
        body.insert("generationConfig".into(), generation.into());
    }
    // `user` stays behind: it would only be a label.
    for (name, value) in &request.rest {
        add_rest(&mut body, name, value)?;
    }
    Ok(body.into())
}

fn add_rest(body: &mut Map<String, Value>, name: &str, value: &Value) -> Result<(), TranslateError> {
    match value {
        value if says_nothing(name, value) => {}
        value if OWN.contains(&name) => {
            body.insert(name.into(), value.clone());
        }
        Value::Object(own) if OWN_OBJECTS.contains(&name) => {
            let object = body.entry(name).or_insert_with(|| Map::new().into());
            for (name, value) in own {
                object[name] = value.clone();
            }
        }
        // Google refuses fields it does not know; so do we, in the caller's words.
        _ => return Err(TranslateError::unsupported(name, PROVIDER)),
    }
    Ok(())
}

fn says_nothing(name: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) if list.is_empty() => true,
        Value::Array(list) if name == "modalities" => *list == ["text"],
        Value::Object(object) if object.is_empty() => true,
        _ => HARMLESS.contains(&name),
    }
}
