//! Whole answers.

use super::{choice, object::Object, usage};
use crate::{
    fields::Fields,
    openai,
    pivot::{Answer, TranslateError},
};
use serde_json::{Value, json};

/// Reads a whole answer.
///
/// # Errors
/// When it is not what the dialect says it must be.
pub fn read_answer(body: &[u8]) -> Result<Answer, TranslateError> {
    read(body).map_err(|error| TranslateError {
        message: format!("The provider's answer can't be read: {}", error.message),
        param: None,
    })
}

fn read(body: &[u8]) -> Result<Answer, TranslateError> {
    let mut body = Fields::of_body(body)?;
    body.ignore(&["object"]);
    let id = body.string("id")?.unwrap_or_default();
    // Absent is no answer, while an empty list is one without a word.
    let choices = body.list("choices")?.ok_or_else(|| body.error("choices", "is required."))?;
    Ok(Answer {
        choices: choice::read_all(choices, &id)?,
        id,
        model: body.string("model")?.unwrap_or_default(),
        created: body.take("created").as_ref().and_then(openai::read_time),
        usage: body.take("usage").as_ref().and_then(usage::read),
        rest: body.rest(),
    })
}

/// Writes a whole answer.
///
/// There are no words for sound and files from a model, nor for tools a provider ran of its own accord.
#[must_use]
pub fn write_answer(answer: &Answer) -> Value {
    let choices: Vec<_> = answer.choices.iter().map(choice::write).collect();
    let mut written = json!({
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created.unwrap_or(0),
        "model": answer.model,
        "choices": choices,
    });
    written.add("usage", answer.usage.as_ref().map(usage::write));
    written.add_rest(&answer.rest);
    written
}
