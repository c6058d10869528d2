//! Tools and the choice among them. Schemas go as JSON Schema, which needs less change than Google's own `Schema`.

use super::PROVIDER;
use crate::pivot::{Function, Request, Tool, ToolChoice, TranslateError};
use serde_json::{Map, Value, json};

/// The tools Google runs itself, by their names in a `Tool`; either spelling is read.
const HOSTED: [&str; 14] = [
    "googleSearch",
    "google_search",
    "googleSearchRetrieval",
    "google_search_retrieval",
    "googleMaps",
    "google_maps",
    "codeExecution",
    "code_execution",
    "urlContext",
    "url_context",
    "enterpriseWebSearch",
    "enterprise_web_search",
    "retrieval",
    "computerUse",
];

/// Writes `tools`; none if there are none.
pub(super) fn write_tools(tools: &[Tool]) -> Result<Option<Value>, TranslateError> {
    let mut declarations = Vec::new();
    let mut hosted = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        match tool {
            Tool::Function(function) => declarations.push(write_function(function)),
            Tool::Other(tool) if is_hosted(tool) => hosted.push(tool.clone()),
            Tool::Other(_) => return Err(TranslateError::unsupported(format!("tools[{index}]"), PROVIDER)),
        }
    }
    let mut written = Vec::new();
    if !declarations.is_empty() {
        written.push(json!({ "functionDeclarations": declarations }));
    }
    written.append(&mut hosted);
    Ok((!written.is_empty()).then_some(written.into()))
}

fn is_hosted(tool: &Value) -> bool {
    tool.as_object().is_some_and(|tool| !tool.is_empty() && tool.keys().all(|name| HOSTED.contains(&name.as_str())))
}

// `strict` has no words here: Gemini always tries to follow the schema. Unknown fields would be refused.
fn write_function(function: &Function) -> Value {
    let mut declaration = Map::new();
    declaration.insert("name".into(), function.name.clone().into());
    if let Some(description) = &function.description {
        declaration.insert("description".into(), description.clone().into());
    }
    if let Some(parameters) = function.parameters.as_ref().filter(|parameters| has_parameters(parameters)) {
        declaration.insert("parametersJsonSchema".into(), write_schema(parameters));
    }
    declaration.into()
}

/// An object without properties is refused; a function without parameters leaves the schema out.
fn has_parameters(schema: &Value) -> bool {
    let Some(schema) = schema.as_object() else { return false };
    schema.iter().any(|(name, value)| match name.as_str() {
        "type" | "description" | "title" | "$schema" | "required" => false,
        "properties" | "additionalProperties" => value.as_object().is_some_and(|schema| !schema.is_empty()),
        _ => true,
    })
}

/// A schema in which `$ref` has no neighbours, which Google refuses: they move around an `anyOf` of the reference.
pub(super) fn write_schema(schema: &Value) -> Value {
    match schema {
        Value::Array(schemas) => schemas.iter().map(write_schema).collect(),
        Value::Object(schema) => write_schema_object(schema).into(),
        _ => schema.clone(),
    }
}

fn write_schema_object(schema: &Map<String, Value>) -> Map<String, Value> {
    let mut written: Map<_, _> = schema
        .iter()
        .map(|(name, value)| match name.as_str() {
            // Values, not schemas.
            "enum" | "const" | "default" | "examples" => (name.clone(), value.clone()),
            _ => (name.clone(), write_schema(value)),
        })
        .collect();
    let has_neighbours = written.keys().any(|name| !name.starts_with('$'));
    if has_neighbours
        && !written.contains_key("anyOf")
        && let Some(Value::String(reference)) = written.get("$ref").cloned()
    {
        written.shift_remove("$ref");
        written.insert("anyOf".into(), json!([{ "$ref": reference }]));
    }
    written
}

/// Writes `toolConfig`; none if there is nothing to say.
pub(super) fn write_tool_config(request: &Request) -> Result<Option<Value>, TranslateError> {
    if !request.tools.iter().any(|tool| matches!(tool, Tool::Function(_))) {
        return Ok(None);
    }
    if request.parallel_tool_calls == Some(false) {
        return Err(TranslateError::unsupported("parallel_tool_calls", PROVIDER));
    }
    let config = match &request.tool_choice {
        None => return Ok(None),
        Some(ToolChoice::Auto) => json!({ "mode": "AUTO" }),
        Some(ToolChoice::None) => json!({ "mode": "NONE" }),
        Some(ToolChoice::Required) => json!({ "mode": "ANY" }),
        Some(ToolChoice::Function(name)) => json!({ "mode": "ANY", "allowedFunctionNames": [name] }),
        Some(ToolChoice::Other(_)) => return Err(TranslateError::unsupported("tool_choice", PROVIDER)),
    };
    Ok(Some(json!({ "functionCallingConfig": config })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declare(parameters: Value) -> Value {
        let function = Function { name: "f".into(), parameters: Some(parameters), ..Function::default() };
        write_tools(&[Tool::Function(function)]).unwrap().unwrap()[0]["functionDeclarations"][0].clone()
    }

    #[test]
    fn a_function_without_parameters_has_no_schema() {
        for schema in
            [json!({}), json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false})]
        {
            assert_eq!(declare(schema), json!({"name": "f"}));
        }
    }

    #[test]
    fn a_reference_has_no_neighbours() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": {"$ref": "#/$defs/City", "description": "Where."},
                "$ref": {"type": "string", "default": {"$ref": "a", "b": 1}},
                "plain": {"$ref": "#/$defs/City"},
            },
            "$defs": {"City": {"type": "string"}},
        });

        let written = declare(schema.clone());

        let properties = &written["parametersJsonSchema"]["properties"];
        assert_eq!(properties["city"], json!({"description": "Where.", "anyOf": [{"$ref": "#/$defs/City"}]}));
        assert_eq!(properties["$ref"], schema["properties"]["$ref"]);
        assert_eq!(properties["plain"], schema["properties"]["plain"]);
    }

    #[test]
    fn only_googles_own_tools_pass() {
        let search = Tool::Other(json!({"googleSearch": {}}));
        let foreign = Tool::Other(json!({"type": "web_search"}));

        assert_eq!(write_tools(std::slice::from_ref(&search)).unwrap(), Some(json!([{"googleSearch": {}}])));
        assert_eq!(write_tools(&[search, foreign]).unwrap_err().param.as_deref(), Some("tools[1]"));
    }

    #[test]
    fn every_choice_has_a_mode() {
        for (choice, expected) in [
            (ToolChoice::Auto, json!({"mode": "AUTO"})),
            (ToolChoice::None, json!({"mode": "NONE"})),
            (ToolChoice::Required, json!({"mode": "ANY"})),
            (ToolChoice::Function("f".into()), json!({"mode": "ANY", "allowedFunctionNames": ["f"]})),
        ] {
            let tools = vec![Tool::Function(Function { name: "f".into(), ..Function::default() })];
            let request = Request { tools, tool_choice: Some(choice), ..Request::default() };

            assert_eq!(write_tool_config(&request).unwrap().unwrap()["functionCallingConfig"], expected);
        }
    }

    #[test]
    fn one_call_at_a_time_cannot_be_promised() {
        let tools = vec![Tool::Function(Function::default())];
        let request = Request { tools, parallel_tool_calls: Some(false), ..Request::default() };

        assert_eq!(write_tool_config(&request).unwrap_err().param.as_deref(), Some("parallel_tool_calls"));
        assert_eq!(write_tool_config(&Request { tools: Vec::new(), ..request }), Ok(None));
    }
}
