//! Requests: the top level.

use super::{PROVIDER, conversation, generation, object::Object, tools, turns};
use crate::{
    fields::Fields,
    pivot::{Request, TranslateError},
};
use serde_json::{Map, Value, json};

/// Fields of another dialect that say how it is spoken, what it keeps in its context, how fast and for whom; nothing of
/// the answer.
const FOREIGN: [&str; 9] = [
    "anthropic_version",
    "anthropic_beta",
    "betas",
    "context_management",
    "diagnostics",
    "output_config",
    "speed",
    "user_profile_id",
    "workspace_id",
];

/// Fields of another dialect that mean something: what else the model can reach, and where it must run.
const UNSUPPORTED: [&str; 3] = ["mcp_servers", "container", "inference_geo"];

/// Reads the body of `POST /v1/chat/completions`.
///
/// # Errors
/// When a field is not what the dialect says it must be, or is one of the deprecated `functions`.
pub fn read_request(body: &[u8]) -> Result<Request, TranslateError> {
    let mut body = Fields::of_body(body)?;
    let mut request = Request {
        model: body.required_string("model")?,
        messages: conversation::read(&mut body)?,
        ..Request::default()
    };
    tools::read(&mut body, &mut request)?;
    generation::read(&mut body, &mut request)?;
    let stream_options = read_stream(&mut body, &mut request)?;
    request.rest = body.rest();
    if !stream_options.is_empty() {
        request.rest.insert("stream_options".into(), stream_options.into());
    }
    Ok(request)
}

fn read_stream(body: &mut Fields, request: &mut Request) -> Result<Map<String, Value>, TranslateError> {
    request.stream = body.boolean("stream")?.unwrap_or(false);
    let Some(mut options) = body.object("stream_options")? else { return Ok(Map::new()) };
    let include_usage = options.boolean("include_usage")?.unwrap_or(false);
    if !request.stream {
        // Some servers refuse them then, others ignore them; there is nothing they could be about.
        return Ok(Map::new());
    }
    request.include_usage = include_usage;
    Ok(options.rest())
}

/// Writes the body of `POST /v1/chat/completions`.
///
/// # Errors
/// When the request asks for something this dialect has no words for.
pub fn write_request(request: &Request) -> Result<Value, TranslateError> {
    let mut body = json!({ "model": request.model, "messages": turns::write(&request.messages)? });
    tools::write(request, &mut body)?;
    generation::write(request, &mut body);
    let mut rest = request.rest.clone();
    rest.retain(|name, value| !FOREIGN.contains(&name.as_str()) && !says_nothing(name, value));
    if let Some(name) = UNSUPPORTED.iter().find(|name| rest.contains_key(**name)) {
        return Err(TranslateError::unsupported(*name, PROVIDER));
    }
    let options = rest.shift_remove("stream_options");
    if request.stream {
        body.add("stream", Some(true));
        write_stream_options(options, request.include_usage, &mut body);
    }
    body.add_rest(&rest);
    Ok(body)
}

/// To pay no more than usual, to run anywhere and to reach nothing else are what happens anyway.
fn says_nothing(name: &str, value: &Value) -> bool {
    match name {
        "service_tier" => value == "standard_only",
        "inference_geo" => value == "global",
        "mcp_servers" => value.as_array().is_some_and(Vec::is_empty),
        _ => false,
    }
}

fn write_stream_options(others: Option<Value>, include_usage: bool, body: &mut Value) {
    let mut options = json!({});
    options.add("include_usage", include_usage.then_some(true));
    if let Some(Value::Object(others)) = others {
        options.add_rest(&others);
    }
    body.add(
        "stream_options",
        options.as_object().is_some_and(|options| !options.is_empty()).then_some(options.clone()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: Value) -> Result<Request, TranslateError> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        read_request(body.to_string().as_bytes())
    }

    #[test]
    fn options_of_a_stream_come_back() {
        let options = json!({"include_usage": true, "continuous_usage_stats": true});

        let request = read(json!({"stream": true, "stream_options": options})).unwrap();

        assert!(request.include_usage);
        assert_eq!(write_request(&request).unwrap()["stream_options"], options);
    }

    #[test]
    fn options_without_a_stream_say_nothing() {
        let request = read(json!({"stream": false, "stream_options": {"include_usage": true}})).unwrap();

        let expected = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        assert_eq!(write_request(&request).unwrap(), expected);
        assert!(!request.include_usage);
    }

    #[test]
    fn words_of_another_dialect_stay_behind() {
        let mut request = read(json!({"verbosity": "low", "min_p": 0.1})).unwrap();
        for name in FOREIGN.iter().chain(&["cache_control"]) {
            request.rest.insert((*name).into(), json!(["x"]));
        }

        let written = write_request(&request).unwrap();

        assert_eq!((&written["verbosity"], &written["min_p"]), (&json!("low"), &json!(0.1)));
        assert_eq!(written.as_object().unwrap().len(), 4, "{written}");
    }

    #[test]
    fn what_only_another_dialect_can_do_is_refused() {
        let written = |name: &str, value: Value| {
            let mut request = read(json!({})).unwrap();
            request.rest.insert(name.into(), value);
            write_request(&request)
        };

        for name in UNSUPPORTED {
            assert_eq!(written(name, json!(["x"])).unwrap_err().param.as_deref(), Some(name));
        }
        for (name, value) in
            [("mcp_servers", json!([])), ("inference_geo", json!("global")), ("service_tier", json!("standard_only"))]
        {
            assert_eq!(written(name, value).unwrap().get(name), None);
        }
        assert_eq!(written("service_tier", json!("flex")).unwrap()["service_tier"], "flex");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (fields, place) in [
            (json!({"model": null}), "model"),
            (json!({"messages": null}), "messages"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": [{"role": "boss", "content": "x"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "function", "name": "f", "content": "x"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
            (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].tool_call_id"),
            (
                json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}),
                "messages[0].tool_calls[0].function",
            ),
            (
                json!({"messages": [{"role": "assistant", "thinking_blocks": [{}]}]}),
                "messages[0].thinking_blocks[0].type",
            ),
            (json!({"messages": [{"role": "assistant", "function_call": {}}]}), "messages[0].function_call"),
            (json!({"temperature": "hot"}), "temperature"),
            (json!({"max_tokens": -1}), "max_tokens"),
            (json!({"stop": ["x", 1]}), "stop[1]"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"top_logprobs": 2}), "top_logprobs"),
            (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema"),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {}}}),
                "response_format.json_schema.schema",
            ),
        ] {
            assert_eq!(read(fields).unwrap_err().param.as_deref(), Some(place));
        }
    }
}
