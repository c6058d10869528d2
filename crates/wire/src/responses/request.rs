//! Requests: the top level.

use super::{input, tools};
use crate::{
    fields::{Fields, into_string},
    openai,
    pivot::{Format, Logprobs, Reasoning, Request, Sampling, TranslateError},
};
use serde_json::{Map, Value};

/// What needs state, or tools and checks that OpenAI runs.
const UNSUPPORTED: [(&str, &str); 8] = [
    ("previous_response_id", "is not supported: no responses are stored here; send the whole conversation as `input`."),
    ("conversation", "is not supported: no conversations are stored here; send the whole conversation as `input`."),
    ("prompt", "is not supported: no prompt templates are stored here; send `instructions` and `input`."),
    ("max_tool_calls", "is not supported: it bounds tools that OpenAI runs, and there are none here; leave it out."),
    ("context_management", "is not supported: no input is shortened here; leave it out."),
    ("background_options", "is not supported: nothing runs in the background here; leave it out."),
    ("moderation", "is not supported; leave it out."),
    ("access_programs", "is not supported; leave it out."),
];

/// Words of chat completions: as unknown fields they would be lost, or reach the provider and mean something there.
const MISNAMED: [(&str, &str); 11] = [
    ("messages", "is not a field of the Responses API; use `input`."),
    ("max_tokens", "is not a field of the Responses API; use `max_output_tokens`."),
    ("max_completion_tokens", "is not a field of the Responses API; use `max_output_tokens`."),
    ("response_format", "is not a field of the Responses API; use `text.format`."),
    ("reasoning_effort", "is not a field of the Responses API; use `reasoning.effort`."),
    ("verbosity", "is not a field of the Responses API; use `text.verbosity`."),
    ("functions", "is not a field of the Responses API; use `tools`."),
    ("function_call", "is not a field of the Responses API; use `tool_choice`."),
    ("logprobs", "is not a field of the Responses API; use `top_logprobs`."),
    ("n", "is not a field of the Responses API, which gives one answer."),
    ("modalities", "is not a field of the Responses API."),
];

/// What this gateway itself does or needs not do: how a stream is padded, how images are kept in context, what the
/// answer says about the request (see [`super::Echo`]), and labels for OpenAI's store.
const OUR_OWN: [&str; 4] = ["stream_options", "image", "metadata", "prompt_cache_options"];

/// Reads the body of `POST /v1/responses`.
///
/// # Errors
/// When a field is not what the dialect says it must be, or asks for what can't be had without OpenAI's store and
/// tools.
pub fn read_request(body: &[u8]) -> Result<Request, TranslateError> {
    let mut body = Fields::of_body(body)?;
    for (name, why) in UNSUPPORTED.iter().chain(&MISNAMED) {
        body.refuse(name, why)?;
    }
    refuse_values(&mut body)?;
    let mut request = Request {
        model: body.required_string("model")?,
        messages: input::read(&mut body)?,
        parallel_tool_calls: body.boolean("parallel_tool_calls")?,
        max_tokens: body.unsigned("max_output_tokens")?,
        sampling: read_sampling(&mut body)?,
        stop: openai::read_stop(&mut body)?,
        reasoning: read_reasoning(&mut body)?,
        logprobs: read_logprobs(&mut body)?,
        user: openai::read_user(&mut body)?,
        stream: body.boolean("stream")?.unwrap_or(false),
        ..Request::default()
    };
    // The last event of a stream always tells it.
    request.include_usage = request.stream;
    tools::read(&mut body, &mut request)?;
    let verbosity = read_text(&mut body, &mut request)?;
    body.ignore(&OUR_OWN);
    request.rest = body.rest();
    request.rest.extend(verbosity);
    Ok(request)
}

fn refuse_values(body: &mut Fields) -> Result<(), TranslateError> {
    if body.boolean("background")? == Some(true) {
        return Err(body.error("background", "can't be true: nothing runs in the background here."));
    }
    // An answer that was not stored can't be asked for later; whoever counts on it must learn that now. Absent, which
    // OpenAI takes as true, is false here, and the answer says so.
    if body.boolean("store")? == Some(true) {
        return Err(body.error("store", "can't be true: no responses are stored here; leave it out."));
    }
    if body.string("truncation")?.is_some_and(|truncation| truncation != "disabled") {
        return Err(body.error("truncation", "must be `disabled`: no input is shortened here."));
    }
    // These two are the default everywhere, and not everywhere known.
    if let Some(tier) = body.string("service_tier")?.filter(|tier| tier != "auto" && tier != "default") {
        body.put("service_tier", tier);
    }
    let mut cache = body.object("prompt_cache_options")?;
    if cache.as_mut().map(|cache| cache.boolean("prewarm")).transpose()?.flatten() == Some(true) {
        return Err(body.error("prompt_cache_options.prewarm", "can't be true: every request is answered here."));
    }
    read_metadata(body)
}

/// It is only given back, but in the form that OpenAI promises.
fn read_metadata(body: &mut Fields) -> Result<(), TranslateError> {
    if let Some(metadata) = body.object("metadata")? {
        let place = metadata.own_place().to_owned();
        for (name, value) in metadata.rest() {
            into_string(value, || format!("{place}.{name}"))?;
        }
    }
    Ok(())
}

/// All but the first two are vLLM's additions to the dialect.
fn read_sampling(body: &mut Fields) -> Result<Sampling, TranslateError> {
    Ok(Sampling {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_k: body.unsigned("top_k")?,
        seed: body.integer("seed")?,
        frequency_penalty: body.number("frequency_penalty")?,
        presence_penalty: body.number("presence_penalty")?,
    })
}

fn read_reasoning(body: &mut Fields) -> Result<Option<Reasoning>, TranslateError> {
    let Some(mut reasoning) = body.object("reasoning")? else { return Ok(None) };
    if reasoning.string("mode")?.is_some_and(|mode| mode != "standard") {
        return Err(reasoning.error("mode", "must be `standard`."));
    }
    let effort = reasoning.string("effort")?;
    // In which form the answer tells the reasoning is the answer's matter (see `Echo`). Which of the reasoning handed
    // back a model sees is decided by its provider.
    let asks_for_summary = reasoning.has("summary") || reasoning.has("generate_summary");
    reasoning.ignore(&["summary", "generate_summary", "context"]);
    let rest = reasoning.rest();
    let says_something = effort.is_some() || asks_for_summary || !rest.is_empty();
    Ok(says_something.then_some(Reasoning { effort, budget_tokens: None, rest }))
}

fn read_logprobs(body: &mut Fields) -> Result<Option<Logprobs>, TranslateError> {
    let top = body.unsigned("top_logprobs")?;
    let mut is_wanted = top.is_some_and(|top| top > 0);
    for (index, value) in body.list("include")?.unwrap_or_default().into_iter().enumerate() {
        let place = format!("include[{index}]");
        match into_string(value, || place.clone())?.as_str() {
            "message.output_text.logprobs" => is_wanted = true,
            // It is always there when the provider gives something to hand back.
            "reasoning.encrypted_content" => {}
            other => {
                let message = format!(
                    "`{place}` is `{other}`; it must be `reasoning.encrypted_content` or \
                     `message.output_text.logprobs`."
                );
                return Err(TranslateError::invalid(place, message));
            }
        }
    }
    Ok(is_wanted.then_some(Logprobs { top }))
}

/// Reads `text`, and gives its verbosity under the name that chat completions have for it at the top level, where the
/// pivot leaves such fields.
fn read_text(body: &mut Fields, request: &mut Request) -> Result<Map<String, Value>, TranslateError> {
    let mut verbosity = Map::new();
    let Some(mut text) = body.object("text")? else { return Ok(verbosity) };
    if let Some(format) = text.object("format")? {
        request.format = Some(read_format(format)?);
    }
    // `medium` is the default, and not everywhere known.
    if let Some(word) = text.string("verbosity")?.filter(|word| word != "medium") {
        verbosity.insert("verbosity".into(), word.into());
    }
    match text.rest().keys().next() {
        Some(name) => Err(TranslateError::invalid(format!("text.{name}"), format!("`text.{name}` is not supported."))),
        None => Ok(verbosity),
    }
}

fn read_format(mut format: Fields) -> Result<Format, TranslateError> {
    let kind = format.required_string("type")?;
    match kind.as_str() {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::JsonObject),
        "json_schema" => Ok(Format::JsonSchema {
            name: Some(format.required_string("name")?),
            schema: format.take("schema").ok_or_else(|| format.error("schema", "is required."))?,
            strict: format.boolean("strict")?,
            rest: format.rest(),
        }),
        _ => {
            let why = format!("is `{kind}`; it must be `text`, `json_object` or `json_schema`.");
            Err(format.error("type", &why))
        }
    }
}
