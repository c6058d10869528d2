//! `tools`, `tool_choice` and `parallel_tool_calls`.

use super::{PROVIDER, object::Object};
use crate::{
    fields::{Fields, must_be},
    openai,
    pivot::{Function, Request, Tool, ToolChoice, TranslateError},
};
use serde_json::{Map, Value, json};

/// Reads all three.
pub(super) fn read(body: &mut Fields, request: &mut Request) -> Result<(), TranslateError> {
    for (name, why) in
        [("functions", "is not supported; use `tools`."), ("function_call", "is not supported; use `tool_choice`.")]
    {
        body.refuse(name, why)?;
    }
    for tool in body.objects("tools")? {
        request.tools.push(read_tool(tool)?);
    }
    request.parallel_tool_calls = body.boolean("parallel_tool_calls")?;
    match body.take("tool_choice") {
        None => {}
        Some(Value::String(mode)) => request.tool_choice = Some(openai::read_tool_mode(&mode, "tool_choice")?),
        Some(choice @ Value::Object(_)) => read_choice(choice, request)?,
        Some(_) => return Err(must_be("tool_choice", "a string or an object")),
    }
    Ok(())
}

fn read_tool(mut tool: Fields) -> Result<Tool, TranslateError> {
    let kind = tool.required_string("type")?;
    if kind != "function" {
        tool.put("type", kind);
        return Ok(Tool::Other(tool.rest().into()));
    }
    let mut function = tool.required_object("function")?;
    let mut read = Function {
        name: function.required_string("name")?,
        description: function.string("description")?,
        parameters: function.take("parameters"),
        strict: function.boolean("strict")?,
        rest: Map::new(),
    };
    // Callers put it here or beside, while other dialects have one object for both.
    if let Some(hint) = function.take("cache_control") {
        read.rest.insert("cache_control".into(), hint);
    }
    // What is unknown in the inner object is told apart.
    let inner = function.rest();
    if !inner.is_empty() {
        read.rest.insert("function".into(), inner.into());
    }
    read.rest.extend(tool.rest());
    Ok(Tool::Function(read))
}

fn read_choice(value: Value, request: &mut Request) -> Result<(), TranslateError> {
    let mut choice = Fields::new(value.clone(), "tool_choice")?;
    request.tool_choice = Some(match choice.required_string("type")?.as_str() {
        "function" => ToolChoice::Function(choice.required_object("function")?.required_string("name")?),
        "allowed_tools" => read_allowed(choice.required_object("allowed_tools")?, &mut request.tools)?,
        _ => ToolChoice::Other(value),
    });
    Ok(())
}

/// Tools that are not allowed might as well not be there. That every dialect can say.
fn read_allowed(mut allowed: Fields, tools: &mut Vec<Tool>) -> Result<ToolChoice, TranslateError> {
    let mut names = Vec::new();
    for mut tool in allowed.objects("tools")? {
        if tool.required_string("type")? != "function" {
            return Err(tool.error("type", "must be `function`."));
        }
        names.push(tool.required_object("function")?.required_string("name")?);
    }
    tools.retain(|tool| matches!(tool, Tool::Function(function) if names.contains(&function.name)));
    openai::read_tool_mode(&allowed.required_string("mode")?, &allowed.place("mode"))
}

/// Writes all three.
pub(super) fn write(request: &Request, body: &mut Value) -> Result<(), TranslateError> {
    // How to call no tools says nothing, and OpenAI refuses it. To be made to call none is a mistake to be told.
    let says_nothing = request.tools.is_empty() && !asks_for_call(request.tool_choice.as_ref());
    if says_nothing {
        return Ok(());
    }
    if let Some(index) = request.tools.iter().position(is_foreign) {
        return Err(TranslateError::unsupported(format!("tools[{index}]"), PROVIDER));
    }
    let tools: Vec<_> = request.tools.iter().map(write_tool).collect();
    body.add("tools", (!tools.is_empty()).then_some(tools));
    body.add("tool_choice", request.tool_choice.as_ref().map(write_choice));
    body.add("parallel_tool_calls", request.parallel_tool_calls);
    Ok(())
}

/// Anthropic's own tools bear their version's date, as `web_search_20250305`. Any other may be a server's.
fn is_foreign(tool: &Tool) -> bool {
    let Tool::Other(tool) = tool else { return false };
    let is_date = |end: &str| end.len() == 8 && end.bytes().all(|letter| letter.is_ascii_digit());
    tool["type"]
        .as_str()
        .is_some_and(|kind| kind == "mcp_toolset" || kind.rsplit_once('_').is_some_and(|(_, end)| is_date(end)))
}

fn asks_for_call(choice: Option<&ToolChoice>) -> bool {
    matches!(choice, Some(ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Other(_)))
}

fn write_tool(tool: &Tool) -> Value {
    let function = match tool {
        Tool::Function(function) => function,
        // Whether a server runs it, only the server knows.
        Tool::Other(tool) => return tool.clone(),
    };
    let mut rest = function.rest.clone();
    let mut inner = json!({ "name": function.name });
    inner.add("description", function.description.as_deref());
    inner.add("parameters", function.parameters.clone());
    inner.add("strict", function.strict);
    let mut written = json!({ "type": "function", "function": inner });
    written.add_inner(&mut rest, "function");
    written.add_rest(&rest);
    written
}

fn write_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Function(name) => json!({ "type": "function", "function": { "name": name } }),
        ToolChoice::Other(choice) => choice.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_body(body: Value) -> Result<Request, TranslateError> {
        let mut request = Request::default();
        read(&mut Fields::new(body, "").unwrap(), &mut request).map(|()| request)
    }

    fn function(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
    }

    #[test]
    fn tools_come_back_with_what_is_unknown() {
        let mut tool = function("f");
        tool["function"]["description"] = "Does it.".into();
        tool["function"]["strict"] = true.into();
        tool["function"]["new"] = 1.into();
        tool["newer"] = 2.into();
        let named = json!({"type": "function", "function": {"name": "f"}});
        let custom = json!({"type": "custom", "custom": {"name": "g"}});
        let body = json!({"tools": [tool, custom], "tool_choice": named, "parallel_tool_calls": false});

        let mut written = json!({});
        write(&read_body(body.clone()).unwrap(), &mut written).unwrap();

        assert_eq!(written, body);
    }

    #[test]
    fn only_allowed_tools_are_left() {
        let allowed = json!({"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]});
        let choice = json!({"type": "allowed_tools", "allowed_tools": allowed});

        let request = read_body(json!({"tools": [function("f"), function("g")], "tool_choice": choice})).unwrap();

        assert!(matches!(&request.tools[..], [Tool::Function(function)] if function.name == "g"));
        assert_eq!(request.tool_choice, Some(ToolChoice::Required));
    }

    #[test]
    fn how_to_call_no_tools_is_not_said() {
        let mut written = json!({});

        write(
            &read_body(json!({"tools": [], "tool_choice": "auto", "parallel_tool_calls": true})).unwrap(),
            &mut written,
        )
        .unwrap();

        assert_eq!(written, json!({}));
    }

    #[test]
    fn tools_that_another_provider_runs_are_refused() {
        for kind in ["web_search_20250305", "mcp_toolset"] {
            let tools = vec![Tool::Function(Function::default()), Tool::Other(json!({"type": kind}))];
            let request = Request { tools, ..Request::default() };

            assert_eq!(write(&request, &mut json!({})).unwrap_err().param.as_deref(), Some("tools[1]"));
        }
        let request = Request { tools: vec![Tool::Other(json!({"type": "browser_search"}))], ..Request::default() };
        assert!(write(&request, &mut json!({})).is_ok());
    }

    #[test]
    fn a_hint_to_cache_is_found_in_either_place() {
        let hint = json!({"type": "ephemeral"});
        let mut inner = function("f");
        inner["function"]["cache_control"] = hint.clone();
        let mut beside = function("f");
        beside["cache_control"] = hint;

        let [inner, beside] = [inner, beside].map(|tool| read_body(json!({"tools": [tool]})).unwrap().tools);

        assert_eq!(inner, beside);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (body, place) in [
            (json!({"functions": []}), "functions"),
            (json!({"function_call": "auto"}), "function_call"),
            (json!({"tools": [{"type": "function", "name": "f"}]}), "tools[0].function"),
            (json!({"tools": [{"name": "f"}]}), "tools[0].type"),
            (json!({"tool_choice": "any"}), "tool_choice"),
            (json!({"tool_choice": 7}), "tool_choice"),
            (json!({"tool_choice": {"type": "function", "name": "f"}}), "tool_choice.function"),
        ] {
            assert_eq!(read_body(body).unwrap_err().param.as_deref(), Some(place));
        }
    }
}
