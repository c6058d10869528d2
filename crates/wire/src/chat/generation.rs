//! How to generate: limits, sampling, the form of the answer, reasoning.

use super::object::Object;
use crate::{
    fields::{Fields, must_be},
    openai,
    pivot::{Format, Logprobs, Reasoning, Request, Sampling, TranslateError},
};
use serde_json::{Value, json};

/// Reads these fields into the request.
pub(super) fn read(body: &mut Fields, request: &mut Request) -> Result<(), TranslateError> {
    let older = body.unsigned("max_tokens")?;
    request.max_tokens = body.unsigned("max_completion_tokens")?.or(older);
    request.sampling = read_sampling(body)?;
    request.stop = openai::read_stop(body)?;
    request.n = body.unsigned("n")?;
    request.format = body.object("response_format")?.map(read_format).transpose()?;
    let effort = body.string("reasoning_effort")?;
    request.reasoning = effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() });
    request.logprobs = read_logprobs(body)?;
    request.user = openai::read_user(body)?;
    Ok(())
}

fn read_sampling(body: &mut Fields) -> Result<Sampling, TranslateError> {
    Ok(Sampling {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_k: read_top_k(body)?,
        seed: body.integer("seed")?,
        frequency_penalty: body.number("frequency_penalty")?,
        presence_penalty: body.number("presence_penalty")?,
    })
}

/// vLLM's addition; to it, -1 and 0 are the same: all tokens.
fn read_top_k(body: &mut Fields) -> Result<Option<u64>, TranslateError> {
    let Some(top_k) = body.integer("top_k")? else { return Ok(None) };
    let top_k = if top_k == -1 { 0 } else { top_k };
    u64::try_from(top_k).map(Some).map_err(|_| must_be("top_k", "a whole number that is not negative"))
}

fn read_logprobs(body: &mut Fields) -> Result<Option<Logprobs>, TranslateError> {
    let is_wanted = body.boolean("logprobs")?.unwrap_or(false);
    let top = body.unsigned("top_logprobs")?;
    match (is_wanted, top) {
        (true, top) => Ok(Some(Logprobs { top })),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => Err(body.error("top_logprobs", "needs `logprobs` to be true.")),
    }
}

fn read_format(mut format: Fields) -> Result<Format, TranslateError> {
    let kind = format.required_string("type")?;
    let read = match kind.as_str() {
        "text" => Format::Text,
        "json_object" => Format::JsonObject,
        "json_schema" => read_schema(format.required_object("json_schema")?)?,
        _ => {
            format.put("type", kind);
            return Ok(Format::Other(format.rest().into()));
        }
    };
    let mut rest = format.rest();
    if rest.is_empty() {
        return Ok(read);
    }
    // What is beside the schema changes its meaning in a way that nobody here knows.
    let Value::Object(mut whole) = write_format(&read) else { return Ok(read) };
    whole.append(&mut rest);
    Ok(Format::Other(whole.into()))
}

fn read_schema(mut schema: Fields) -> Result<Format, TranslateError> {
    Ok(Format::JsonSchema {
        name: schema.string("name")?,
        strict: schema.boolean("strict")?,
        schema: schema.take("schema").ok_or_else(|| schema.error("schema", "is required."))?,
        rest: schema.rest(),
    })
}

/// Writes these fields.
pub(super) fn write(request: &Request, body: &mut Value) {
    body.add(limit_word(&request.model), request.max_tokens);
    let sampling = &request.sampling;
    body.add("temperature", sampling.temperature);
    body.add("top_p", sampling.top_p);
    body.add("top_k", sampling.top_k);
    body.add("seed", sampling.seed);
    body.add("frequency_penalty", sampling.frequency_penalty);
    body.add("presence_penalty", sampling.presence_penalty);
    body.add("stop", (!request.stop.is_empty()).then(|| request.stop.clone()));
    body.add("n", request.n);
    body.add("response_format", request.format.as_ref().map(write_format));
    body.add("reasoning_effort", request.reasoning.as_ref().and_then(write_effort));
    if let Some(logprobs) = request.logprobs {
        body.add("logprobs", Some(true));
        body.add("top_logprobs", logprobs.top);
    }
    body.add("user", request.user.as_deref());
}

/// Every server of this dialect knows the older word but OpenAI's reasoning models, which refuse it.
fn limit_word(model: &str) -> &'static str {
    let name = model.rsplit('/').next().unwrap_or(model);
    let version = ["gpt-", "o"].iter().find_map(|family| name.strip_prefix(family)).unwrap_or_default();
    let number = version.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    let least = if name.starts_with("gpt-") { 5 } else { 1 };
    let is_newer = number.is_some_and(|number: u32| number >= least);
    if is_newer { "max_completion_tokens" } else { "max_tokens" }
}

/// The dialect has words and no numbers. What else is said about reasoning is how to show it, and it shows it one way.
fn write_effort(reasoning: &Reasoning) -> Option<String> {
    let of_budget = |tokens| match tokens {
        0 => "none",
        1..4096 => "low",
        4096..16_384 => "medium",
        _ => "high",
    };
    match (reasoning.budget_tokens, &reasoning.effort) {
        // Not to think at all outweighs how hard to try.
        (Some(0), _) => Some(of_budget(0).to_owned()),
        (_, Some(effort)) => Some(effort.clone()),
        (budget, None) => budget.map(|tokens| of_budget(tokens).to_owned()),
    }
}

fn write_format(format: &Format) -> Value {
    match format {
        Format::Text => json!({ "type": "text" }),
        Format::JsonObject => json!({ "type": "json_object" }),
        Format::JsonSchema { name, schema, strict, rest } => {
            // OpenAI insists on a name; other dialects have none.
            let mut inner = json!({ "name": name.as_deref().unwrap_or("answer"), "schema": schema });
            inner.add("strict", *strict);
            inner.add_rest(rest);
            json!({ "type": "json_schema", "json_schema": inner })
        }
        Format::Other(format) => format.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_body(body: Value) -> Request {
        let mut request = Request::default();
        read(&mut Fields::new(body, "").unwrap(), &mut request).unwrap();
        request
    }

    fn round(body: Value) -> Value {
        let mut written = json!({});
        write(&read_body(body), &mut written);
        written
    }

    #[test]
    fn what_has_two_names_has_one_in_the_end() {
        let written = round(json!({
            "max_tokens": 5, "max_completion_tokens": 7, "top_k": -1, "stop": "x", "user": "a", "safety_identifier": "b",
        }));

        assert_eq!(written, json!({"max_tokens": 7, "top_k": 0, "stop": ["x"], "user": "b"}));
    }

    #[test]
    fn null_is_not_written() {
        let body = json!({"max_tokens": null, "temperature": null, "stop": null, "logprobs": false, "top_logprobs": 0});

        assert_eq!(round(body), json!({}));
    }

    #[test]
    fn every_format_comes_back() {
        for format in [
            json!({"type": "text"}),
            json!({"type": "json_object"}),
            json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "strict": true, "description": "d"}}),
            json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {}}, "new": 1}),
            json!({"type": "grammar", "grammar": "root ::= x"}),
        ] {
            assert_eq!(round(json!({"response_format": format}))["response_format"], format);
        }
    }

    #[test]
    fn a_budget_is_an_effort() {
        for (budget_tokens, effort) in [(0, "none"), (1024, "low"), (8192, "medium"), (31_999, "high")] {
            let reasoning = Reasoning { budget_tokens: Some(budget_tokens), ..Reasoning::default() };
            assert_eq!(write_effort(&reasoning).as_deref(), Some(effort));
        }
        assert_eq!(write_effort(&Reasoning::default()), None);
    }

    #[test]
    fn not_to_think_outweighs_an_effort() {
        let reasoning = Reasoning { effort: Some("low".into()), budget_tokens: Some(0), ..Reasoning::default() };

        assert_eq!(write_effort(&reasoning).as_deref(), Some("none"));
    }

    #[test]
    fn newer_models_are_told_their_limit_in_the_newer_word() {
        for model in ["gpt-5", "gpt-5.3-chat-latest", "gpt-10", "o1", "o4-mini", "openai/o3"] {
            assert_eq!(limit_word(model), "max_completion_tokens", "{model}");
        }
        for model in ["gpt-4o", "gpt-4.1-mini", "gpt-oss-120b", "olmo-2", "qwen3", "openai/gpt-oss-20b", ""] {
            assert_eq!(limit_word(model), "max_tokens", "{model}");
        }
    }
}
