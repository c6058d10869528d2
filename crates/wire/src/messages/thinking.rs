//! How much to reason: `thinking` and `output_config.effort`. Newer models choose for themselves within an effort,
//! older ones (before Opus 4.6 and Sonnet 4.6) must be told a budget of tokens.

use super::content::with_rest;
use crate::{
    fields::Fields,
    pivot::{Content, Message, Reasoning, Request, Role, ToolChoice, TranslateError},
};
use serde_json::{Map, Value, json};

/// The least budget that Anthropic takes.
const LEAST_BUDGET: u64 = 1024;

/// The models that know only budgets, by what their names have, whoever serves them.
const OLDER: [&str; 12] = [
    "claude-2",
    "claude-instant",
    "claude-3",
    "opus-4-0",
    "opus-4-1",
    "opus-4-2",
    "opus-4-5",
    "opus-4@",
    "sonnet-4-0",
    "sonnet-4-2",
    "sonnet-4-5",
    "sonnet-4@",
];

/// Of a reasoning's unknown fields, what other dialects call things that have other words here.
const FOREIGN: [&str; 6] = ["type", "summary", "generate_summary", "exclude", "includeThoughts", "include_thoughts"];

/// Reads `thinking`, with the effort that `output_config` told.
pub(super) fn read(thinking: Option<Fields>, effort: Option<String>) -> Result<Option<Reasoning>, TranslateError> {
    let Some(mut thinking) = thinking else {
        // An effort alone does not make a model think. Null is said by no one else and read by no one else.
        let rest = || [("type".into(), Value::Null)].into_iter().collect();
        return Ok(effort.map(|effort| Reasoning { effort: Some(effort), budget_tokens: None, rest: rest() }));
    };
    let kind = thinking.required_string("type")?;
    let budget_tokens = match kind.as_str() {
        "enabled" => {
            Some(thinking.unsigned("budget_tokens")?.ok_or_else(|| thinking.error("budget_tokens", "is required."))?)
        }
        "disabled" => Some(0),
        _ => None,
    };
    let mut rest = thinking.rest();
    if budget_tokens.is_none() {
        rest.shift_insert(0, "type".into(), kind.into());
    }
    Ok(Some(Reasoning { effort, budget_tokens, rest }))
}

/// What a request says about reasoning.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Thinking {
    /// `thinking`
    pub(super) thinking: Option<Value>,
    /// `output_config.effort`
    pub(super) effort: Option<String>,
    /// The tokens that `max_tokens` must be above.
    pub(super) budget: u64,
}

impl Thinking {
    pub(super) fn of(request: &Request) -> Self {
        // Callers of other dialects can say it in Anthropic's words, who offers that for its models itself.
        if let Some(told) = request.rest.get("thinking").filter(|told| told.is_object()) {
            let budget = told["budget_tokens"].as_u64().unwrap_or(0);
            return Self { thinking: Some(told.clone()), effort: None, budget };
        }
        let Some(reasoning) = &request.reasoning else { return Self::default() };
        let effort = reasoning.effort.as_deref().filter(|effort| *effort != "none");
        let words = effort.map(|effort| if effort == "minimal" { "low".to_owned() } else { effort.to_owned() });
        match (reasoning.budget_tokens, reasoning.rest.get("type"), effort) {
            (Some(0), _, _) => Self { thinking: Some(json!({ "type": "disabled" })), effort: words, budget: 0 },
            (Some(budget), _, _) => Self { effort: words, ..Self::enabled(budget.max(LEAST_BUDGET), reasoning) },
            (None, Some(Value::String(kind)), _) => {
                let thinking = with_rest(json!({ "type": kind }), &reasoning.rest, &FOREIGN);
                Self { thinking: Some(thinking), effort: words, budget: 0 }
            }
            (None, Some(_), _) => Self { thinking: None, effort: words, budget: 0 },
            (None, None, None) if reasoning.effort.is_some() => {
                Self { thinking: Some(json!({ "type": "disabled" })), ..Self::default() }
            }
            (None, None, None) => Self::default(),
            // An effort is a wish, and a call that must be made leaves no room for thinking.
            (None, None, Some(_)) if must_call(request) => {
                Self { effort: words.filter(|_| !is_older(&request.model)), ..Self::default() }
            }
            (None, None, Some(effort)) if is_older(&request.model) => Self::of_effort(effort, reasoning, request),
            (None, None, Some(_)) => {
                Self { thinking: Some(with_more(json!({ "type": "adaptive" }), reasoning)), effort: words, budget: 0 }
            }
        }
    }

    fn enabled(budget: u64, reasoning: &Reasoning) -> Self {
        let thinking = with_more(json!({ "type": "enabled", "budget_tokens": budget }), reasoning);
        Self { thinking: Some(thinking), effort: None, budget }
    }

    /// An effort is a wish: where an older model can't think, the answer comes without.
    fn of_effort(effort: &str, reasoning: &Reasoning, request: &Request) -> Self {
        let wanted = match effort {
            "minimal" | "low" => LEAST_BUDGET,
            "medium" => 8192,
            _ => 24_576,
        };
        let budget = request.max_tokens.map_or(wanted, |most| wanted.min(most.saturating_sub(1)));
        let can_think = budget >= LEAST_BUDGET && !has_lost_thoughts(&request.messages);
        if can_think { Self::enabled(budget, reasoning) } else { Self::default() }
    }
}

/// Adds what else was said. Who wants a summary wants to read it, which newer models otherwise keep back.
fn with_more(thinking: Value, reasoning: &Reasoning) -> Value {
    let mut thinking = with_rest(thinking, &reasoning.rest, &FOREIGN);
    let wants_summary = reasoning.rest.get("summary").is_some_and(|summary| !summary.is_null());
    if wants_summary && thinking["display"].is_null() {
        thinking["display"] = "summarized".into();
    }
    thinking
}

fn must_call(request: &Request) -> bool {
    matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_)))
}

fn is_older(model: &str) -> bool {
    let ends = ["opus-4", "sonnet-4"];
    model.contains("haiku-4-5")
        || OLDER.iter().any(|part| model.contains(part))
        || ends.iter().any(|end| model.ends_with(end))
}

/// Whether the calls of the turn that goes on came without the thoughts that led to them, as in dialects that can't
/// hand them back. Older models then refuse to think.
fn has_lost_thoughts(messages: &[Message]) -> bool {
    let is_result =
        |message: &&Message| message.parts.iter().all(|part| matches!(part.content, Content::ToolResult { .. }));
    let turn = messages.iter().rev().take_while(|message| message.role == Role::Assistant || is_result(message));
    let mut calls =
        turn.filter(|message| message.parts.iter().any(|part| matches!(part.content, Content::ToolCall(_))));
    calls.any(|message| {
        !message.parts.iter().any(|part| {
            matches!(part.content, Content::Thinking { signature: Some(_), .. } | Content::RedactedThinking(_))
        })
    })
}

/// Puts an effort and a format where they belong, beside what else the caller said there.
pub(super) fn add_output_config(body: &mut Map<String, Value>, name: &str, value: Value) {
    let config = body.entry("output_config").or_insert_with(|| Map::new().into());
    if let Value::Object(config) = config {
        config.insert(name.into(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pivot::{Part, ToolCall};

    fn request(model: &str, reasoning: Reasoning) -> Request {
        Request { model: model.into(), reasoning: Some(reasoning), ..Request::default() }
    }

    fn effort(effort: &str) -> Reasoning {
        Reasoning { effort: Some(effort.into()), ..Reasoning::default() }
    }

    fn native(thinking: Value, effort: Option<&str>) -> Thinking {
        let thinking = (!thinking.is_null()).then(|| Fields::new(thinking, "thinking").unwrap());
        let reasoning = read(thinking, effort.map(Into::into)).unwrap().unwrap();
        Thinking::of(&request("claude-opus-4-6", reasoning))
    }

    #[test]
    fn what_a_caller_of_this_dialect_says_comes_back() {
        for (thinking, effort) in [
            (json!({"type": "enabled", "budget_tokens": 2048, "display": "omitted"}), None),
            (json!({"type": "disabled"}), Some("low")),
            (json!({"type": "adaptive", "display": "summarized"}), Some("max")),
            (json!({"type": "between_tools"}), None),
            (Value::Null, Some("high")),
        ] {
            let written = native(thinking.clone(), effort);

            assert_eq!((written.thinking.unwrap_or_default(), written.effort.as_deref()), (thinking, effort));
        }
    }

    #[test]
    fn an_effort_lets_newer_models_choose_and_gives_older_ones_a_budget() {
        let newer = Thinking::of(&request("claude-opus-4-8", effort("minimal")));
        let older = Thinking::of(&request("claude-sonnet-4-5@20250929", effort("medium")));
        let none = Thinking::of(&request("claude-sonnet-4-5", effort("none")));

        assert_eq!(newer.thinking, Some(json!({"type": "adaptive"})));
        assert_eq!(newer.effort.as_deref(), Some("low"));
        assert_eq!(older.thinking, Some(json!({"type": "enabled", "budget_tokens": 8192})));
        assert_eq!((older.effort, older.budget), (None, 8192));
        assert_eq!(none.thinking, Some(json!({"type": "disabled"})));
    }

    #[test]
    fn a_budget_of_an_effort_keeps_below_the_limit() {
        let mut request = request("claude-haiku-4-5", effort("high"));

        request.max_tokens = Some(2000);
        assert_eq!(Thinking::of(&request).budget, 1999);
        request.max_tokens = Some(1024);
        assert_eq!(Thinking::of(&request), Thinking::default());
    }

    #[test]
    fn who_must_call_does_not_think() {
        for (model, kept) in [("claude-opus-4-8", Some("high")), ("claude-sonnet-4-5", None)] {
            let mut request = request(model, effort("high"));
            request.tool_choice = Some(ToolChoice::Required);

            let written = Thinking::of(&request);

            assert_eq!((written.thinking, written.effort.as_deref(), written.budget), (None, kept, 0));
        }
    }

    #[test]
    fn a_wanted_summary_is_shown() {
        let mut reasoning = effort("high");
        reasoning.rest.insert("summary".into(), "auto".into());

        let written = Thinking::of(&request("claude-opus-4-8", reasoning)).thinking;

        assert_eq!(written, Some(json!({"type": "adaptive", "display": "summarized"})));
    }

    #[test]
    fn older_models_do_not_think_once_thoughts_are_lost() {
        let turn = |role, content| Message { role, parts: vec![Part::new(content)], rest: Map::new() };
        let result = Content::ToolResult { call_id: "a".into(), parts: vec![], is_error: None };
        let mut request = request("claude-sonnet-4-5", effort("low"));
        request.messages =
            vec![turn(Role::Assistant, Content::ToolCall(ToolCall::default())), turn(Role::User, result)];

        assert_eq!(Thinking::of(&request), Thinking::default());
        request.messages.push(turn(Role::User, Content::Text("And now?".into())));
        assert_eq!(Thinking::of(&request).budget, 1024);
    }
}
