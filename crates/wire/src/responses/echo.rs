//! What an answer repeats of its request, word for word. It is read apart from the request proper: the pivot keeps
//! what a model needs to know, and these words are for the caller alone.

use crate::{fields::Fields, pivot::TranslateError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The request as its answer repeats it.
#[derive(Debug, Clone)]
pub struct Echo {
    pub(super) model: String,
    pub(super) created_at: i64,
    /// Whether reasoning is told as a summary, which is where callers look who asked for one; else as it came.
    pub(super) wants_summary: bool,
    pub(super) fields: Map<String, Value>,
}

/// All but the large `input`.
#[derive(Deserialize)]
struct Asked {
    model: Option<Value>,
    instructions: Option<Value>,
    max_output_tokens: Option<Value>,
    metadata: Option<Value>,
    parallel_tool_calls: Option<Value>,
    prompt_cache_key: Option<Value>,
    prompt_cache_retention: Option<Value>,
    reasoning: Option<Map<String, Value>>,
    safety_identifier: Option<Value>,
    temperature: Option<Value>,
    text: Option<Map<String, Value>>,
    tool_choice: Option<Value>,
    tools: Option<Vec<Value>>,
    top_logprobs: Option<Value>,
    top_p: Option<Value>,
    user: Option<Value>,
}

impl Echo {
    /// Reads what the answer to the request `body` repeats. `created_at` is now in Unix seconds, for answers that
    /// don't tell when they began.
    ///
    /// # Errors
    /// When the body can't be read; [`super::read_request`] says more about why.
    pub fn read(body: &[u8], created_at: i64) -> Result<Self, TranslateError> {
        let asked: Asked = match serde_json::from_slice(body) {
            Ok(asked) => asked,
            Err(error) => {
                Fields::of_body(body)?;
                let message = format!("The body is not a request of the Responses API: {error}.");
                return Err(TranslateError { message, param: None });
            }
        };
        let model = asked.model.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        let asked_reasoning = asked.reasoning.as_ref();
        let wants_summary = ["summary", "generate_summary"].iter().any(|name| {
            asked_reasoning.and_then(|reasoning| reasoning.get(*name)).is_some_and(|value| !value.is_null())
        });
        Ok(Self { model, created_at, wants_summary, fields: asked.write() })
    }
}

impl Asked {
    /// Every field of OpenAI's answers, with its defaults; what is up to the model is null.
    fn write(self) -> Map<String, Value> {
        let tools = self.tools.unwrap_or_default().into_iter().map(complete_tool).collect();
        let pairs = [
            ("background", false.into()),
            ("instructions", or_null(self.instructions)),
            ("max_output_tokens", or_null(self.max_output_tokens)),
            ("max_tool_calls", Value::Null),
            ("metadata", self.metadata.unwrap_or_else(|| json!({}))),
            ("parallel_tool_calls", self.parallel_tool_calls.unwrap_or(Value::Bool(true))),
            ("previous_response_id", Value::Null),
            ("prompt_cache_key", or_null(self.prompt_cache_key)),
            ("prompt_cache_retention", or_null(self.prompt_cache_retention)),
            ("reasoning", complete(self.reasoning, json!({"effort": null, "summary": null}))),
            ("safety_identifier", or_null(self.safety_identifier)),
            ("service_tier", Value::Null),
            ("store", false.into()),
            ("temperature", or_null(self.temperature)),
            ("text", complete(self.text, json!({"format": {"type": "text"}}))),
            ("tool_choice", self.tool_choice.unwrap_or_else(|| "auto".into())),
            ("tools", tools),
            ("top_logprobs", self.top_logprobs.unwrap_or_else(|| 0.into())),
            ("top_p", or_null(self.top_p)),
            ("truncation", "disabled".into()),
            ("user", or_null(self.user)),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn or_null(value: Option<Value>) -> Value {
    value.unwrap_or_default()
}

fn complete(object: Option<Map<String, Value>>, mut defaults: Value) -> Value {
    for (name, value) in object.into_iter().flatten() {
        if !value.is_null() {
            defaults[name] = value;
        }
    }
    defaults
}

fn complete_tool(tool: Value) -> Value {
    match tool {
        Value::Object(mut tool) => {
            for name in ["description", "parameters", "strict"] {
                tool.entry(name).or_insert(Value::Null);
            }
            tool.into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_said_has_a_default() {
        let echo = Echo::read(br#"{"model":"m","input":"Hi","metadata":null,"tool_choice":null}"#, 7).unwrap();

        assert_eq!((echo.model.as_str(), echo.created_at, echo.wants_summary), ("m", 7, false));
        assert_eq!(echo.fields["metadata"], json!({}));
        assert_eq!(echo.fields["tool_choice"], "auto");
        assert_eq!(echo.fields["text"], json!({"format": {"type": "text"}}));
        assert_eq!(echo.fields["temperature"], Value::Null);
    }

    #[test]
    fn what_was_said_is_repeated() {
        let body = json!({
            "model": "m", "reasoning": {"summary": "auto", "effort": null}, "text": {"verbosity": "low"},
            "tools": [{"type": "function", "name": "f"}], "metadata": {"a": "b"}, "safety_identifier": "s",
        });

        let echo = Echo::read(body.to_string().as_bytes(), 7).unwrap();

        assert!(echo.wants_summary);
        assert_eq!(echo.fields["reasoning"], json!({"effort": null, "summary": "auto"}));
        assert_eq!(echo.fields["text"], json!({"format": {"type": "text"}, "verbosity": "low"}));
        let tool = json!({"type": "function", "name": "f", "description": null, "parameters": null, "strict": null});
        assert_eq!(echo.fields["tools"], json!([tool]));
        assert_eq!(echo.fields["metadata"], json!({"a": "b"}));
        assert_eq!(echo.fields["safety_identifier"], "s");
    }

    #[test]
    fn a_body_that_is_no_request_is_an_error() {
        for body in ["{", "[]", r#"{"tools":1}"#] {
            assert!(Echo::read(body.as_bytes(), 7).is_err(), "{body}");
        }
    }
}
