//! How much to reason, as `thinkingConfig`: in levels since Gemini 3, in tokens before.

use super::{is_before_3, short_name};
use crate::pivot::{Reasoning, TranslateError};
use serde_json::{Map, Value};

/// Writes `thinkingConfig`.
pub(super) fn write(model: &str, reasoning: &Reasoning) -> Result<Value, TranslateError> {
    let mut config = Map::new();
    // Google takes only one of both, and the budget says more.
    match (reasoning.budget_tokens, reasoning.effort.as_deref()) {
        (Some(tokens), _) => {
            config.insert("thinkingBudget".into(), tokens.min(most_tokens(model)).into());
        }
        (None, Some(effort)) => {
            let (key, value) = of_effort(model, effort)?;
            config.insert(key.into(), value);
        }
        (None, None) => {}
    }
    let thinks = config.get("thinkingBudget").is_none_or(|tokens| *tokens != 0);
    let asked = ["includeThoughts", "include_thoughts"].iter().find_map(|name| reasoning.rest.get(*name)?.as_bool());
    config.insert("includeThoughts".into(), asked.unwrap_or(thinks).into());
    Ok(config.into())
}

/// More is an error, while a budget is only a bound.
fn most_tokens(model: &str) -> u64 {
    if short_name(model).contains("-pro") { 32_768 } else { 24_576 }
}

/// The table Google uses for its own OpenAI-compatible API. Whether a model can do without thinking is left to it.
fn of_effort(model: &str, effort: &str) -> Result<(&'static str, Value), TranslateError> {
    let is_pro = short_name(model).contains("-pro");
    let (level, tokens) = match effort {
        "none" => return Ok(("thinkingBudget", 0.into())),
        "minimal" if is_pro => ("LOW", 1024),
        "minimal" => ("MINIMAL", 1024),
        "low" => ("LOW", 1024),
        "medium" => ("MEDIUM", 8192),
        "high" | "xhigh" | "max" => ("HIGH", 24_576),
        _ => {
            let message = "The reasoning effort must be `none`, `minimal`, `low`, `medium`, `high` or `xhigh`.";
            return Err(TranslateError::invalid("reasoning_effort", message));
        }
    };
    Ok(if is_before_3(model) { ("thinkingBudget", tokens.into()) } else { ("thinkingLevel", level.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn effort(model: &str, effort: &str) -> Value {
        write(model, &Reasoning { effort: Some(effort.into()), ..Reasoning::default() }).unwrap()
    }

    #[test]
    fn effort_is_a_level_or_a_budget() {
        assert_eq!(effort("gemini-3-flash", "minimal"), json!({"thinkingLevel": "MINIMAL", "includeThoughts": true}));
        assert_eq!(effort("google/gemini-3.1-pro", "minimal")["thinkingLevel"], "LOW");
        assert_eq!(effort("gemini-3-flash", "xhigh")["thinkingLevel"], "HIGH");
        assert_eq!(effort("gemini-2.5-flash", "medium"), json!({"thinkingBudget": 8192, "includeThoughts": true}));
    }

    #[test]
    fn no_thinking_has_no_thoughts() {
        for model in ["gemini-2.5-flash", "gemini-3-flash"] {
            assert_eq!(effort(model, "none"), json!({"thinkingBudget": 0, "includeThoughts": false}));
        }
    }

    #[test]
    fn a_budget_wins_and_is_kept_in_bounds() {
        let reasoning = Reasoning {
            effort: Some("low".into()),
            budget_tokens: Some(40_000),
            rest: [("include_thoughts".into(), json!(false))].into_iter().collect(),
        };

        assert_eq!(
            write("gemini-2.5-pro", &reasoning).unwrap(),
            json!({"thinkingBudget": 32_768, "includeThoughts": false})
        );
        assert_eq!(write("gemini-2.5-flash", &reasoning).unwrap()["thinkingBudget"], 24_576);
    }

    #[test]
    fn an_unknown_effort_is_refused() {
        let reasoning = Reasoning { effort: Some("enormous".into()), ..Reasoning::default() };

        assert_eq!(write("gemini-3-flash", &reasoning).unwrap_err().param.as_deref(), Some("reasoning_effort"));
    }
}
