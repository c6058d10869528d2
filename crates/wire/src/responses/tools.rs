//! `tools` and `tool_choice`: functions of the caller's, and nothing that OpenAI runs.

use crate::{
    fields::Fields,
    openai,
    pivot::{Function, Request, Tool, ToolChoice, TranslateError},
};
use serde_json::Value;

/// Reads both; a choice among allowed tools leaves the others out.
pub(super) fn read(body: &mut Fields, request: &mut Request) -> Result<(), TranslateError> {
    for tool in body.objects("tools")? {
        request.tools.push(Tool::Function(read_tool(tool)?));
    }
    match body.take("tool_choice") {
        None => {}
        Some(Value::String(mode)) => request.tool_choice = Some(openai::read_tool_mode(&mode, "tool_choice")?),
        Some(choice) => read_choice(Fields::new(choice, "tool_choice")?, request)?,
    }
    if request.tools.is_empty() {
        // OpenAI's clients always say how tools may be called; other providers refuse to hear it when there are none.
        request.tool_choice = request.tool_choice.take().filter(|choice| *choice == ToolChoice::Required);
        request.parallel_tool_calls = None;
    }
    Ok(())
}

fn read_tool(mut tool: Fields) -> Result<Function, TranslateError> {
    let kind = tool.required_string("type")?;
    if kind != "function" {
        return Err(tool.error("type", &format!("is `{kind}`; only tools of type `function` are supported here.")));
    }
    if tool.boolean("defer_loading")? == Some(true) {
        return Err(tool.error("defer_loading", "is not supported: there is no tool search here."));
    }
    if tool.boolean("async")? == Some(true) {
        return Err(tool.error("async", "is not supported: a model waits for its tools here."));
    }
    if tool.list("allowed_callers")?.is_some_and(|callers| !callers.iter().any(|caller| caller == "direct")) {
        return Err(tool.error("allowed_callers", "must have `direct`: models run no programs here."));
    }
    // It tells programs what comes out; a model sees that for itself.
    tool.ignore(&["output_schema"]);
    Ok(Function {
        name: tool.required_string("name")?,
        description: tool.string("description")?,
        parameters: tool.take("parameters"),
        strict: tool.boolean("strict")?,
        rest: tool.rest(),
    })
}

fn read_choice(mut choice: Fields, request: &mut Request) -> Result<(), TranslateError> {
    let kind = choice.required_string("type")?;
    request.tool_choice = Some(match kind.as_str() {
        "function" => ToolChoice::Function(choice.required_string("name")?),
        "allowed_tools" => {
            let mut allowed = Vec::new();
            for tool in choice.objects("tools")? {
                allowed.push(read_allowed(tool)?);
            }
            request.tools.retain(|tool| matches!(tool, Tool::Function(function) if allowed.contains(&function.name)));
            openai::read_tool_mode(&choice.required_string("mode")?, &choice.place("mode"))?
        }
        _ => {
            let why = format!("is `{kind}`; it must be `function` or `allowed_tools`.");
            return Err(choice.error("type", &why));
        }
    });
    Ok(())
}

fn read_allowed(mut tool: Fields) -> Result<String, TranslateError> {
    match tool.required_string("type")?.as_str() {
        "function" => tool.required_string("name"),
        _ => Err(tool.error("type", "must be `function`.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_body(body: Value) -> Result<Request, TranslateError> {
        let mut request = Request::default();
        read(&mut Fields::new(body, "").unwrap(), &mut request).map(|()| request)
    }

    fn function(name: &str) -> Value {
        json!({"type": "function", "name": name, "parameters": {"type": "object"}, "strict": true})
    }

    #[test]
    fn a_function_is_flat() {
        let mut tool = function("f");
        tool["description"] = "Does it.".into();
        tool["new"] = 1.into();

        let request = read_body(json!({"tools": [tool], "tool_choice": {"type": "function", "name": "f"}})).unwrap();

        let expected = Function {
            name: "f".into(),
            description: Some("Does it.".into()),
            parameters: Some(json!({"type": "object"})),
            strict: Some(true),
            rest: [("new".into(), json!(1))].into_iter().collect(),
        };
        assert_eq!(request.tools, [Tool::Function(expected)]);
        assert_eq!(request.tool_choice, Some(ToolChoice::Function("f".into())));
    }

    #[test]
    fn only_allowed_tools_are_left() {
        let choice = json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]});

        let request = read_body(json!({"tools": [function("f"), function("g")], "tool_choice": choice})).unwrap();

        assert!(matches!(&request.tools[..], [Tool::Function(function)] if function.name == "g"));
        assert_eq!(request.tool_choice, Some(ToolChoice::Required));
    }

    #[test]
    fn how_to_call_no_tools_says_nothing() {
        let request = read_body(json!({"tools": [], "tool_choice": "auto"})).unwrap();

        assert_eq!(request.tool_choice, None);
        assert_eq!(read_body(json!({"tool_choice": "required"})).unwrap().tool_choice, Some(ToolChoice::Required));
    }

    #[test]
    fn what_others_run_is_refused() {
        for (tool, place) in [
            (json!({"type": "web_search"}), "tools[0].type"),
            (json!({"type": "mcp", "server_label": "x"}), "tools[0].type"),
            (json!({"type": "custom", "name": "x"}), "tools[0].type"),
            (json!({"type": "function", "function": {"name": "f"}}), "tools[0].name"),
            (json!({"type": "function", "name": "f", "defer_loading": true}), "tools[0].defer_loading"),
            (json!({"type": "function", "name": "f", "async": true}), "tools[0].async"),
            (json!({"type": "function", "name": "f", "allowed_callers": ["programmatic"]}), "tools[0].allowed_callers"),
        ] {
            assert_eq!(read_body(json!({"tools": [tool]})).unwrap_err().param.as_deref(), Some(place));
        }
        for (choice, place) in [
            (json!({"type": "web_search_preview"}), "tool_choice.type"),
            (json!({"type": "mcp", "server_label": "x"}), "tool_choice.type"),
            (json!("any"), "tool_choice"),
            (json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}), "tool_choice.tools[0].type"),
        ] {
            assert_eq!(read_body(json!({"tool_choice": choice})).unwrap_err().param.as_deref(), Some(place));
        }
    }
}
