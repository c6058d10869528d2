//! Requests of callers: the top level.

use super::{content, thinking, tools};
use crate::{
    fields::{Fields, must_be},
    pivot::{Format, Message, Request, Role, Sampling, TranslateError},
};
use serde_json::{Map, Value};

/// Reads the body of `POST /v1/messages`.
///
/// # Errors
/// When a field is not what the dialect says it must be.
pub fn read_request(body: &[u8]) -> Result<Request, TranslateError> {
    let mut body = Fields::of_body(body)?;
    let mut output = body.object("output_config")?;
    let effort = output.as_mut().map(|output| output.string("effort")).transpose()?.flatten();
    let format = read_format(&mut body, output.as_mut())?;
    let mut request = Request {
        model: body.required_string("model")?,
        messages: read_messages(&mut body)?,
        max_tokens: body.unsigned("max_tokens")?,
        sampling: Sampling {
            temperature: body.number("temperature")?,
            top_p: body.number("top_p")?,
            top_k: body.unsigned("top_k")?,
            ..Sampling::default()
        },
        stop: read_stop(&mut body)?,
        format,
        reasoning: thinking::read(body.object("thinking")?, effort)?,
        stream: body.boolean("stream")?.unwrap_or(false),
        ..Request::default()
    };
    // A stream always tells it.
    request.include_usage = request.stream;
    tools::read(&mut body, &mut request)?;
    let metadata = read_metadata(&mut body, &mut request)?;
    request.rest = body.rest();
    for (name, rest) in [("output_config", output.map(Fields::rest)), ("metadata", metadata)] {
        if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
            request.rest.insert(name.into(), rest.into());
        }
    }
    Ok(request)
}

fn read_messages(body: &mut Fields) -> Result<Vec<Message>, TranslateError> {
    let mut messages = Vec::new();
    if let Some(system) = body.take("system") {
        let parts = content::read(Some(system), "system")?;
        messages.push(Message { role: Role::System, parts, rest: Map::new() });
    }
    let list = body.list("messages")?.ok_or_else(|| body.error("messages", "is required."))?;
    for (index, message) in list.into_iter().enumerate() {
        messages.push(read_message(Fields::new(message, format!("messages[{index}]"))?)?);
    }
    Ok(messages)
}

fn read_message(mut message: Fields) -> Result<Message, TranslateError> {
    let role = match message.required_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        role => {
            let why = format!("is `{role}`; it must be `user`, `assistant` or `system`.");
            return Err(message.error("role", &why));
        }
    };
    let place = message.place("content");
    let parts = content::read(message.take("content"), &place)?;
    Ok(Message { role, parts, rest: message.rest() })
}

fn read_stop(body: &mut Fields) -> Result<Vec<String>, TranslateError> {
    let list = body.list("stop_sequences")?.unwrap_or_default();
    let texts = list.into_iter().enumerate().map(|(index, text)| match text {
        Value::String(text) => Ok(text),
        _ => Err(must_be(&format!("stop_sequences[{index}]"), "a string")),
    });
    texts.collect()
}

/// `output_format` is where it was before.
fn read_format(body: &mut Fields, output: Option<&mut Fields>) -> Result<Option<Format>, TranslateError> {
    let before = body.object("output_format")?;
    let now = output.map(|output| output.object("format")).transpose()?.flatten();
    let Some(mut format) = now.or(before) else { return Ok(None) };
    let kind = format.required_string("type")?;
    if kind != "json_schema" {
        return Err(format.error("type", &format!("is `{kind}`; it must be `json_schema`.")));
    }
    let schema = format.required_object("schema")?.rest().into();
    Ok(Some(Format::JsonSchema { name: None, schema, strict: None, rest: format.rest() }))
}

fn read_metadata(body: &mut Fields, request: &mut Request) -> Result<Option<Map<String, Value>>, TranslateError> {
    let Some(mut metadata) = body.object("metadata")? else { return Ok(None) };
    request.user = metadata.string("user_id")?;
    Ok(Some(metadata.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(mut more: Value) -> Result<Request, TranslateError> {
        let mut body = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
        body.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
        read_request(body.to_string().as_bytes())
    }

    #[test]
    fn null_is_absent() {
        let nulls = json!({
            "system": null, "tools": null, "tool_choice": null, "thinking": null, "output_config": null, "top_k": null,
            "metadata": {"user_id": null}, "stop_sequences": null, "service_tier": null,
        });

        assert_eq!(read(nulls).unwrap(), read(json!({})).unwrap());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (more, place) in [
            (json!({"model": null}), "model"),
            (json!({"messages": null}), "messages"),
            (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
            (json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}), "messages[0].content[0].text"),
            (json!({"system": [{"text": "x"}]}), "system[0]"),
            (json!({"max_tokens": -1}), "max_tokens"),
            (json!({"stop_sequences": ["a", 1]}), "stop_sequences[1]"),
            (json!({"thinking": {"type": "enabled"}}), "thinking.budget_tokens"),
            (json!({"output_config": {"format": {"type": "json_object"}}}), "output_config.format.type"),
            (json!({"metadata": {"user_id": 7}}), "metadata.user_id"),
        ] {
            assert_eq!(read(more).unwrap_err().param.as_deref(), Some(place));
        }
    }

    #[test]
    fn the_older_place_of_the_format_is_read() {
        let format = json!({"type": "json_schema", "schema": {"type": "object"}});

        let older = read(json!({"output_format": format})).unwrap();

        assert_eq!(older, read(json!({"output_config": {"format": format}})).unwrap());
        assert!(matches!(older.format, Some(Format::JsonSchema { .. })));
    }
}
