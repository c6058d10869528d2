//! What OpenAI's two dialects, chat completions and responses, say in the same words.

use crate::{
    fields::{Fields, into_string, must_be},
    pivot::{ToolChoice, TranslateError},
};
use serde_json::Value;

/// Reads `stop`; in responses it is vLLM's addition.
pub(crate) fn read_stop(body: &mut Fields) -> Result<Vec<String>, TranslateError> {
    match body.take("stop") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(list)) => {
            list.into_iter().enumerate().map(|(index, text)| into_string(text, || format!("stop[{index}]"))).collect()
        }
        Some(_) => Err(must_be("stop", "a string or a list of strings")),
    }
}

/// Reads `user`, from which `safety_identifier` took over.
pub(crate) fn read_user(body: &mut Fields) -> Result<Option<String>, TranslateError> {
    let user = body.string("user")?;
    Ok(body.string("safety_identifier")?.or(user))
}

/// Reads a choice among tools that is only a word.
pub(crate) fn read_tool_mode(mode: &str, place: &str) -> Result<ToolChoice, TranslateError> {
    match mode {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" => Ok(ToolChoice::Required),
        _ => {
            let message = format!("`{place}` is `{mode}`; it must be `auto`, `none` or `required`.");
            Err(TranslateError::invalid(place, message))
        }
    }
}

/// Reads Unix seconds; some servers give a fraction.
#[expect(clippy::cast_possible_truncation, reason = "whole seconds are meant, and such casts saturate")]
pub(crate) fn read_time(time: &Value) -> Option<i64> {
    time.as_i64().or_else(|| time.as_f64().map(|seconds| seconds as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(body: Value) -> Fields {
        Fields::new(body, "").unwrap()
    }

    #[test]
    fn one_stop_text_is_a_list_of_one() {
        assert_eq!(read_stop(&mut body(json!({"stop": "x"}))).unwrap(), ["x"]);
        assert_eq!(read_stop(&mut body(json!({"stop": ["x", "y"]}))).unwrap(), ["x", "y"]);
        assert!(read_stop(&mut body(json!({"stop": null}))).unwrap().is_empty());
        for (stop, place) in [(json!(["x", 1]), "stop[1]"), (json!({}), "stop")] {
            assert_eq!(read_stop(&mut body(json!({ "stop": stop }))).unwrap_err().param.as_deref(), Some(place));
        }
    }

    #[test]
    fn the_newer_name_of_the_user_counts() {
        let mut both = body(json!({"user": "a", "safety_identifier": "b"}));

        assert_eq!(read_user(&mut both).unwrap().as_deref(), Some("b"));
        assert_eq!(read_user(&mut body(json!({"user": "a"}))).unwrap().as_deref(), Some("a"));
        assert!(both.rest().is_empty());
    }

    #[test]
    fn a_word_is_a_choice() {
        assert_eq!(read_tool_mode("required", "tool_choice"), Ok(ToolChoice::Required));
        assert_eq!(read_tool_mode("any", "tool_choice").unwrap_err().param.as_deref(), Some("tool_choice"));
    }

    #[test]
    fn a_time_may_have_a_fraction() {
        for (time, expected) in [(json!(7), Some(7)), (json!(7.9), Some(7)), (json!("7"), None)] {
            assert_eq!(read_time(&time), expected);
        }
    }
}
