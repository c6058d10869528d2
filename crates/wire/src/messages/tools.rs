//! `tools` and `tool_choice`, which also says whether tools may be called several at once.

use super::{PROVIDER, content::with_rest};
use crate::{
    fields::Fields,
    pivot::{Function, Request, Tool, ToolChoice, TranslateError},
};
use serde_json::{Map, Value, json};

/// Reads both.
pub(super) fn read(body: &mut Fields, request: &mut Request) -> Result<(), TranslateError> {
    for (index, tool) in body.list("tools")?.unwrap_or_default().into_iter().enumerate() {
        request.tools.push(read_tool(tool, format!("tools[{index}]"))?);
    }
    let Some(mut choice) = body.object("tool_choice")? else { return Ok(()) };
    request.parallel_tool_calls = choice.boolean("disable_parallel_tool_use")?.map(|disabled| !disabled);
    let kind = choice.required_string("type")?;
    request.tool_choice = Some(match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Function(choice.required_string("name")?),
        _ => {
            let why = format!("is `{kind}`; it must be `auto`, `any`, `none` or `tool`.");
            return Err(choice.error("type", &why));
        }
    });
    Ok(())
}

fn read_tool(tool: Value, place: String) -> Result<Tool, TranslateError> {
    let is_function = tool["type"].is_null() || tool["type"] == "custom";
    if !is_function {
        return Ok(Tool::Other(Fields::new(tool, place)?.rest().into()));
    }
    let mut tool = Fields::new(tool, place)?;
    tool.ignore(&["type"]);
    Ok(Tool::Function(Function {
        name: tool.required_string("name")?,
        description: tool.string("description")?,
        parameters: Some(tool.required_object("input_schema")?.rest().into()),
        strict: tool.boolean("strict")?,
        rest: tool.rest(),
    }))
}

/// Writes both.
pub(super) fn write(request: &Request, body: &mut Map<String, Value>) -> Result<(), TranslateError> {
    let mut tools = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        match tool {
            Tool::Function(function) => tools.push(write_function(function)),
            Tool::Other(tool) if is_own(tool) => tools.push(tool.clone()),
            Tool::Other(_) => return Err(TranslateError::unsupported(format!("tools[{index}]"), PROVIDER)),
        }
    }
    if let Some(choice) = write_choice(request)? {
        body.insert("tool_choice".into(), choice);
    }
    if !tools.is_empty() {
        body.insert("tools".into(), tools.into());
    }
    Ok(())
}

fn write_function(function: &Function) -> Value {
    let mut tool = json!({ "name": function.name });
    if let Some(description) = &function.description {
        tool["description"] = description.as_str().into();
    }
    tool["input_schema"] = write_schema(function.parameters.as_ref());
    // Not strict is what it is anyway, and the word is not known everywhere.
    if function.strict == Some(true) {
        tool["strict"] = true.into();
    }
    // What other dialects keep of an object inside has no place here.
    with_rest(tool, &function.rest, &["function"])
}

/// Anthropic insists on a schema that says it is an object's.
fn write_schema(schema: Option<&Value>) -> Value {
    match schema {
        Some(Value::Object(schema)) => {
            let mut schema = schema.clone();
            schema.entry("type").or_insert_with(|| "object".into());
            schema.into()
        }
        _ => json!({ "type": "object", "properties": {} }),
    }
}

/// The tools that Anthropic runs or knows bear their version's date, as `web_search_20250305`.
fn is_own(tool: &Value) -> bool {
    tool["type"].as_str().is_some_and(|kind| kind.contains("_20") || kind == "mcp_toolset")
}

fn write_choice(request: &Request) -> Result<Option<Value>, TranslateError> {
    let mut choice = match &request.tool_choice {
        // Without tools these say nothing, and Anthropic would refuse them.
        None | Some(ToolChoice::Auto | ToolChoice::None) if request.tools.is_empty() => return Ok(None),
        None if request.parallel_tool_calls == Some(false) => json!({ "type": "auto" }),
        None => return Ok(None),
        Some(ToolChoice::None) => return Ok(Some(json!({ "type": "none" }))),
        Some(ToolChoice::Auto) => json!({ "type": "auto" }),
        Some(ToolChoice::Required) => json!({ "type": "any" }),
        Some(ToolChoice::Function(name)) => json!({ "type": "tool", "name": name }),
        Some(ToolChoice::Other(_)) => return Err(TranslateError::unsupported("tool_choice", PROVIDER)),
    };
    if request.parallel_tool_calls == Some(false) {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Ok(Some(choice))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_body(body: Value) -> Result<Request, TranslateError> {
        let mut request = Request::default();
        read(&mut Fields::new(body, "").unwrap(), &mut request).map(|()| request)
    }

    fn write_body(request: &Request) -> Value {
        let mut body = Map::new();
        write(request, &mut body).unwrap();
        body.into()
    }

    #[test]
    fn tools_and_choices_come_back_as_they_were() {
        let tools = json!([
            {
                "name": "f", "description": "Does it.", "strict": true,
                "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
                "cache_control": {"type": "ephemeral"},
            },
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
        ]);
        for choice in [
            json!({"type": "auto"}),
            json!({"type": "any", "disable_parallel_tool_use": true}),
            json!({"type": "none"}),
            json!({"type": "tool", "name": "f"}),
        ] {
            let body = json!({"tools": tools, "tool_choice": choice});

            assert_eq!(write_body(&read_body(body.clone()).unwrap()), body);
        }
    }

    #[test]
    fn one_call_at_a_time_is_said_by_the_choice() {
        let tool = Tool::Function(Function { name: "f".into(), ..Function::default() });
        let mut request = Request { tools: vec![tool], parallel_tool_calls: Some(false), ..Request::default() };

        let written = write_body(&request);

        assert_eq!(written["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
        assert_eq!(written["tools"], json!([{"name": "f", "input_schema": {"type": "object", "properties": {}}}]));
        request.tools.clear();
        assert_eq!(write_body(&request), json!({}));
    }

    #[test]
    fn a_schema_says_that_it_is_an_objects() {
        assert_eq!(write_schema(Some(&json!({"properties": {}})))["type"], "object");
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_place() {
        for (body, place) in [
            (json!({"tools": [{"name": "f"}]}), "tools[0].input_schema"),
            (json!({"tools": [{"type": "custom", "input_schema": {}}]}), "tools[0].name"),
            (json!({"tool_choice": "auto"}), "tool_choice"),
            (json!({"tool_choice": {"type": "required"}}), "tool_choice.type"),
        ] {
            assert_eq!(read_body(body).unwrap_err().param.as_deref(), Some(place));
        }
        for (request, place) in [
            (
                Request { tools: vec![Tool::Other(json!({"type": "web_search_preview"}))], ..Request::default() },
                "tools[0]",
            ),
            (Request { tool_choice: Some(ToolChoice::Other(json!({}))), ..Request::default() }, "tool_choice"),
        ] {
            assert_eq!(write(&request, &mut Map::new()).unwrap_err().param.as_deref(), Some(place));
        }
    }
}
