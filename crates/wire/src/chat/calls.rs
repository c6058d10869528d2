//! Tool calls on the model's messages. Their proofs stand where Google's endpoint of this dialect has them.

use super::object::Object;
use crate::{
    fields::Fields,
    pivot::{Content, Part, ToolCall, TranslateError},
};
use serde_json::{Map, Value, json};

/// Takes the calls off a message. `name_call` gives an id to a call without one.
pub(super) fn read(message: &mut Fields, name_call: impl Fn(usize) -> String) -> Result<Vec<Part>, TranslateError> {
    let calls = message.objects("tool_calls")?;
    calls.into_iter().enumerate().map(|(number, call)| read_call(call, || name_call(number))).collect()
}

fn read_call(mut call: Fields, name_call: impl FnOnce() -> String) -> Result<Part, TranslateError> {
    // Of streams; a list has its order.
    call.ignore(&["index"]);
    if let Some(kind) = call.string("type")?.filter(|kind| kind != "function") {
        call.put("type", kind);
        return Ok(Part::new(Content::Other(call.rest().into())));
    }
    let id = call.string("id")?.filter(|id| !id.is_empty()).unwrap_or_else(name_call);
    let mut function = call.required_object("function")?;
    let name = function.required_string("name")?;
    // Some servers give the object itself.
    let arguments = match function.take("arguments") {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
    };
    let mut rest = Map::new();
    let inner = function.rest();
    if !inner.is_empty() {
        rest.insert("function".into(), inner.into());
    }
    let signature = read_signature(&mut call)?;
    rest.extend(call.rest());
    Ok(Part { content: Content::ToolCall(ToolCall { id, name, arguments, signature }), rest })
}

/// Whatever else the field holds goes back under its name.
fn read_signature(call: &mut Fields) -> Result<Option<String>, TranslateError> {
    let Some(mut extra) = call.take("extra_content") else { return Ok(None) };
    let signature = extra.get_mut("google").and_then(Value::as_object_mut).and_then(|google| {
        let signature = google.get("thought_signature")?.as_str()?.to_owned();
        google.shift_remove("thought_signature");
        Some(signature)
    });
    if let Some(fields) = extra.as_object_mut().filter(|_| signature.is_some()) {
        fields.retain(|_, value| value.as_object().is_none_or(|inner| !inner.is_empty()));
    }
    if extra.as_object().is_none_or(|fields| !fields.is_empty()) {
        call.put("extra_content", extra);
    }
    Ok(signature)
}

/// Writes a call.
pub(super) fn write(call: &ToolCall, rest: &Map<String, Value>) -> Value {
    let mut rest = rest.clone();
    // Callers and servers read it as JSON, and a call without arguments is one with none.
    let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
    let function = json!({ "name": call.name, "arguments": arguments });
    let mut written = json!({ "id": call.id, "type": "function", "function": function });
    written.add_inner(&mut rest, "function");
    if let Some(signature) = &call.signature {
        let mut extra = rest.shift_remove("extra_content").filter(Value::is_object).unwrap_or_else(|| json!({}));
        if !extra["google"].is_object() {
            extra["google"] = json!({});
        }
        extra["google"]["thought_signature"] = signature.as_str().into();
        written.add("extra_content", Some(extra));
    }
    written.add_rest(&rest);
    written
}

/// What a delta says of a call's proof.
pub(super) fn extra_content(signature: &str) -> Value {
    json!({ "google": { "thought_signature": signature } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(call: &Value) -> Value {
        let mut message = Fields::new(json!({"tool_calls": [call]}), "m").unwrap();
        let part = read(&mut message, |number| format!("call_{number}")).unwrap().remove(0);
        match &part.content {
            Content::ToolCall(call) => write(call, &part.rest),
            content => panic!("{content:?}"),
        }
    }

    #[test]
    fn a_call_comes_back_with_what_is_unknown() {
        let plain = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}});
        assert_eq!(round(&plain), plain);
        for extra in [
            json!({"google": {"thought_signature": "s"}}),
            json!({"google": {"thought_signature": "s", "new": 1}, "newer": 2}),
            json!({"other": {}}),
            json!("odd"),
        ] {
            let mut call = plain.clone();
            call["extra_content"] = extra;
            call["function"]["new"] = 1.into();
            assert_eq!(round(&call), call);
        }
    }

    #[test]
    fn what_servers_leave_out_is_filled_in() {
        let call = round(&json!({"index": 0, "function": {"name": "f", "arguments": {"x": 1}}}));

        assert_eq!(
            call,
            json!({"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}})
        );
        assert_eq!(round(&json!({"id": "a", "function": {"name": "f"}}))["function"]["arguments"], "{}");
    }
}
