//! Requests to a provider: the top level, and what happens to what this dialect has no words for.

use super::{
    PROVIDER,
    conversation::Conversation,
    thinking::{Thinking, add_output_config},
    tools,
};
use crate::pivot::{Format, Request, TranslateError};
use serde_json::{Map, Value, json};

/// The most tokens to generate where the caller sets no limit. Anthropic insists on one; every model can do this many.
/// A budget for thinking comes on top.
pub const DEFAULT_MAX_TOKENS: u64 = 4096;

/// Fields of other dialects that do not change what the model answers: who asks, how the provider bills, stores,
/// caches or logs. Anthropic refuses what it does not know. Of `metadata` it knows only the user.
const HARMLESS: [&str; 13] = [
    "metadata",
    "store",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "stream_options",
    "include",
    "include_reasoning",
    "truncation",
    "priority",
    "cache_salt",
];

/// Fields of OpenAI's dialects that do change it.
const UNSUPPORTED: [&str; 9] = [
    "logit_bias",
    "verbosity",
    "web_search_options",
    "modalities",
    "audio",
    "functions",
    "function_call",
    "min_p",
    "moderation",
];

/// The service tiers that Anthropic has.
const OWN_TIERS: [&str; 2] = ["auto", "standard_only"];

/// Writes the body of `POST /v1/messages`. `request.model` should be the name the provider has for the model, since
/// older models are told otherwise how much to think.
///
/// # Errors
/// When the request asks for something this dialect has no words for.
pub fn write_request(request: &Request) -> Result<Value, TranslateError> {
    refuse_unsupported(request)?;
    let (system, messages) = Conversation::of(&request.messages)?.write();
    let thinking = Thinking::of(request);
    let mut body = Map::new();
    body.insert("model".into(), request.model.as_str().into());
    body.insert("max_tokens".into(), max_tokens(request, &thinking).into());
    if let Some(system) = system {
        body.insert("system".into(), system);
    }
    body.insert("messages".into(), messages);
    tools::write(request, &mut body)?;
    write_sampling(request, &mut body);
    if request.stream {
        body.insert("stream".into(), true.into());
    }
    if let Some(user) = &request.user {
        body.insert("metadata".into(), json!({ "user_id": user }));
    }
    for (name, value) in &request.rest {
        add_rest(&mut body, name, value)?;
    }
    if let Some(thinking) = thinking.thinking {
        body.insert("thinking".into(), thinking);
    }
    if let Some(effort) = thinking.effort {
        add_output_config(&mut body, "effort", effort.into());
    }
    if let Some(format) = write_format(request.format.as_ref())? {
        add_output_config(&mut body, "format", format);
    }
    Ok(body.into())
}

fn refuse_unsupported(request: &Request) -> Result<(), TranslateError> {
    let is_set = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    for (param, is_wanted) in [
        ("n", request.n.is_some_and(|n| n != 1)),
        ("logprobs", request.logprobs.is_some()),
        ("frequency_penalty", is_set(request.sampling.frequency_penalty)),
        ("presence_penalty", is_set(request.sampling.presence_penalty)),
    ] {
        if is_wanted {
            return Err(TranslateError::unsupported(param, PROVIDER));
        }
    }
    Ok(())
}

/// All must fit: what is thought counts, too.
fn max_tokens(request: &Request, thinking: &Thinking) -> u64 {
    request.max_tokens.unwrap_or_else(|| DEFAULT_MAX_TOKENS.saturating_add(thinking.budget))
}

// A seed stays behind: it is a best effort everywhere, so nobody can count on the same answer.
fn write_sampling(request: &Request, body: &mut Map<String, Value>) {
    let sampling = &request.sampling;
    for (name, value) in [
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("top_k", sampling.top_k.map(Value::from)),
        ("stop_sequences", (!request.stop.is_empty()).then(|| request.stop.clone().into())),
    ] {
        if let Some(value) = value {
            body.insert(name.into(), value);
        }
    }
}

// The name, the description and `strict` have no words here: Anthropic always keeps to the schema.
fn write_format(format: Option<&Format>) -> Result<Option<Value>, TranslateError> {
    match format {
        None | Some(Format::Text) => Ok(None),
        Some(Format::JsonSchema { schema, rest, .. }) => {
            let format = json!({ "type": "json_schema", "schema": schema });
            Ok(Some(super::content::with_rest(format, rest, &["description"])))
        }
        Some(Format::JsonObject | Format::Other(_)) => Err(TranslateError::unsupported("response_format", PROVIDER)),
    }
}

fn add_rest(body: &mut Map<String, Value>, name: &str, value: &Value) -> Result<(), TranslateError> {
    let is_other_tier = || !value.as_str().is_some_and(|tier| OWN_TIERS.contains(&tier));
    match name {
        _ if value.is_null() || body.contains_key(name) || HARMLESS.contains(&name) => {}
        "service_tier" if is_other_tier() => {}
        _ if UNSUPPORTED.contains(&name) => {
            if !says_nothing(name, value) {
                return Err(TranslateError::unsupported(name, PROVIDER));
            }
        }
        _ => {
            body.insert(name.into(), value.clone());
        }
    }
    Ok(())
}

fn says_nothing(name: &str, value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty() || (name == "modalities" && *list == ["text"]),
        Value::Object(object) => object.is_empty(),
        Value::String(text) => name == "verbosity" && text == "medium",
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pivot::{Logprobs, Message, Part, Reasoning, Role, Sampling};

    fn hi() -> Request {
        let message = Message { role: Role::User, parts: vec![Part::text("Hi")], rest: Map::new() };
        Request { model: "claude-sonnet-4-5".into(), messages: vec![message], ..Request::default() }
    }

    #[test]
    fn a_limit_is_always_set_and_above_the_budget() {
        let thinking = Some(Reasoning { budget_tokens: Some(10_000), ..Reasoning::default() });

        assert_eq!(write_request(&hi()).unwrap()["max_tokens"], DEFAULT_MAX_TOKENS);
        let written = write_request(&Request { reasoning: thinking, ..hi() }).unwrap();
        assert_eq!(written["max_tokens"], DEFAULT_MAX_TOKENS + 10_000);
    }

    #[test]
    fn thinking_told_in_anthropics_words_outweighs_an_effort() {
        let told = json!({"type": "enabled", "budget_tokens": 2048});
        let effort = Some(Reasoning { effort: Some("high".into()), ..Reasoning::default() });
        let rest = [("thinking".to_owned(), told.clone())].into_iter().collect();

        let written = write_request(&Request { reasoning: effort, rest, ..hi() }).unwrap();

        assert_eq!(written["thinking"], told);
        assert_eq!(written["max_tokens"], DEFAULT_MAX_TOKENS + 2048);
        assert!(written.get("output_config").is_none());
    }

    #[test]
    fn what_changes_the_answer_and_has_no_words_is_refused() {
        let penalty = |frequency_penalty, presence_penalty| Sampling {
            frequency_penalty,
            presence_penalty,
            ..Sampling::default()
        };
        for (request, param) in [
            (Request { n: Some(2), ..hi() }, "n"),
            (Request { logprobs: Some(Logprobs { top: None }), ..hi() }, "logprobs"),
            (Request { sampling: penalty(Some(0.5), None), ..hi() }, "frequency_penalty"),
            (Request { sampling: penalty(None, Some(-1.0)), ..hi() }, "presence_penalty"),
            (Request { format: Some(Format::JsonObject), ..hi() }, "response_format"),
        ] {
            assert_eq!(write_request(&request).unwrap_err().param.as_deref(), Some(param));
        }
        for (name, value) in [
            ("logit_bias", json!({"1": 100})),
            ("modalities", json!(["text", "audio"])),
            ("verbosity", json!("low")),
            ("functions", json!([{"name": "f"}])),
        ] {
            let request = Request { rest: [(name.to_owned(), value)].into_iter().collect(), ..hi() };
            assert_eq!(write_request(&request).unwrap_err().param.as_deref(), Some(name));
        }
    }

    #[test]
    fn what_says_nothing_here_is_left_out_and_the_unknown_is_passed_on() {
        let rest = json!({
            "metadata": {"ticket": "7"}, "store": true, "service_tier": "flex", "modalities": ["text"],
            "logit_bias": {}, "verbosity": "medium", "new": 1, "empty": null,
        });
        let sampling = Sampling {
            seed: Some(7),
            frequency_penalty: Some(0.0),
            presence_penalty: Some(0.0),
            ..Sampling::default()
        };
        let request = Request {
            n: Some(1),
            sampling,
            format: Some(Format::Text),
            rest: rest.as_object().unwrap().clone(),
            ..hi()
        };

        let written = write_request(&request).unwrap();

        let expected = json!({
            "model": "claude-sonnet-4-5", "max_tokens": 4096, "messages": [{"role": "user", "content": "Hi"}], "new": 1,
        });
        assert_eq!(written, expected);
    }
}
