//! The arguments of a call for providers that want an object and not the text the model wrote.

use serde_json::{Value, json};

/// The object. What the model once wrote wrong goes back under a key, so that it can see it.
pub(crate) fn read(arguments: &str) -> Value {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(arguments)) => arguments.into(),
        _ if arguments.trim().is_empty() => json!({}),
        _ => json!({ "arguments": arguments }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_no_object_are_kept_as_text() {
        for (arguments, expected) in [
            (r#"{"b":1,"a":2}"#, json!({"b": 1, "a": 2})),
            ("", json!({})),
            ("{\"a", json!({"arguments": "{\"a"})),
            ("[1]", json!({"arguments": "[1]"})),
        ] {
            assert_eq!(read(arguments), expected);
        }
    }
}
