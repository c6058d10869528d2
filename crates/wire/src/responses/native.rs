//! Answers of a provider that speaks this dialect itself. They go to the caller as they came; this is for watching.

use super::{content, model_items::ModelItems, usage};
use crate::{
    deeds::Deeds,
    fields::Fields,
    openai,
    pivot::{Answer, Choice, Content, Finish, Part, TranslateError},
};
use serde_json::{Map, Value};

/// Reads an answer of a provider of this dialect.
///
/// # Errors
/// When it is not what the dialect says it must be, or says that it failed.
pub fn read_answer(body: &[u8]) -> Result<Answer, TranslateError> {
    let mut response = Fields::of_body(body)?;
    if let Some(error) = response.take("error") {
        let message = error["message"].as_str().unwrap_or("it gives no reason");
        return Err(TranslateError { message: format!("The provider failed: {message}."), param: None });
    }
    let status = response.string("status")?;
    let reason = response.object("incomplete_details")?.map(|mut details| details.string("reason")).transpose()?;
    let mut parts = Vec::new();
    let mut model_items = ModelItems::default();
    for item in response.list("output")?.ok_or_else(|| response.error("output", "is required."))? {
        parts.extend(read_item(item, &mut model_items)?);
    }
    let finish = Some(read_finish(status.as_deref(), reason.flatten().as_deref(), Deeds::of(&parts)));
    Ok(Answer {
        id: response.required_string("id")?,
        model: response.string("model")?.unwrap_or_default(),
        created: response.take("created_at").as_ref().and_then(openai::read_time),
        choices: vec![Choice { index: 0, parts, finish, logprobs: None, rest: Map::new() }],
        usage: response.take("usage").as_ref().and_then(usage::read),
        rest: response.rest(),
    })
}

fn read_item(item: Value, model_items: &mut ModelItems) -> Result<Vec<Part>, TranslateError> {
    let as_it_came = item.clone();
    let mut item = Fields::new(item, "output[]")?;
    let kind = item.required_string("type")?;
    if kind == "message" {
        let parts = item.list("content")?.unwrap_or_default().into_iter().map(|part| {
            let one = content::read(Some(Value::Array(vec![part.clone()])), "output[].content");
            one.ok().and_then(|mut parts| parts.pop()).unwrap_or_else(|| Part::new(Content::Other(part)))
        });
        return Ok(parts.collect());
    }
    let parts = model_items.read(&kind, &mut item)?;
    Ok(parts.unwrap_or_else(|| vec![Part::new(Content::Other(as_it_came))]))
}

pub(super) fn read_finish(status: Option<&str>, reason: Option<&str>, deeds: Deeds) -> Finish {
    match (status, reason) {
        (_, Some("max_output_tokens")) => Finish::Length,
        (_, Some("content_filter")) => Finish::ContentFilter,
        (_, Some(reason)) => Finish::Other(reason.to_owned()),
        (None | Some("completed"), None) if deeds.called => Finish::ToolCalls,
        (None | Some("completed"), None) if deeds.declined => Finish::Refusal,
        (None | Some("completed"), None) => Finish::Stop,
        (Some(status), None) => Finish::Other(status.to_owned()),
    }
}
