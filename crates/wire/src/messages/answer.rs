//! Whole answers, read from a provider and written for a caller.

use super::{content, stop, usage};
use crate::{
    deeds::Deeds,
    fields::Fields,
    pivot::{Answer, Choice, TranslateError},
};
use serde_json::{Value, json};

/// Reads the answer of `POST /v1/messages`.
///
/// # Errors
/// When it is not what the dialect says it must be.
pub fn read_answer(body: &[u8]) -> Result<Answer, TranslateError> {
    read(body).map_err(|error| unreadable(&error))
}

fn read(body: &[u8]) -> Result<Answer, TranslateError> {
    let mut body = Fields::of_body(body)?;
    // They are the same in every answer.
    body.ignore(&["type", "role"]);
    let parts = content::read(body.list("content")?.map(Value::from), "content")?;
    let sequence = body.string("stop_sequence")?;
    let finish = body.string("stop_reason")?.map(|reason| stop::read(reason, sequence));
    Ok(Answer {
        id: body.string("id")?.unwrap_or_default(),
        model: body.string("model")?.unwrap_or_default(),
        created: None,
        choices: vec![Choice { parts, finish, ..Choice::default() }],
        usage: body.object("usage")?.map(usage::read).transpose()?,
        rest: body.rest(),
    })
}

/// The fault is the provider's, so no parameter of the caller's is named.
pub(super) fn unreadable(error: &TranslateError) -> TranslateError {
    TranslateError { message: format!("The provider's answer can't be read. {}", error.message), param: None }
}

/// Writes an answer. This dialect has one choice, and its requests can't ask for more.
#[must_use]
pub fn write_answer(answer: &Answer) -> Value {
    let none = Choice::default();
    let choice = answer.choices.iter().min_by_key(|choice| choice.index).unwrap_or(&none);
    let deeds = Deeds::of(&choice.parts);
    let (reason, sequence) = choice.finish.as_ref().map(|finish| stop::write(finish, deeds)).unzip();
    let written = json!({
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": choice.parts.iter().map(content::write_made).collect::<Vec<_>>(),
        "stop_reason": reason,
        "stop_sequence": sequence.flatten(),
        "usage": usage::write(answer.usage.unwrap_or_default()),
    });
    // What other dialects keep of a message inside the choice has no place here: the message is the answer.
    content::with_rest(content::with_rest(written, &answer.rest, &[]), &choice.rest, &["message"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pivot::{Content, Finish, Part, ToolCall};

    fn answer(contents: Vec<Content>) -> Answer {
        let parts = contents.into_iter().map(Part::new).collect();
        let choice = Choice { parts, finish: Some(Finish::Stop), ..Choice::default() };
        Answer { id: "chatcmpl-1".into(), model: "m".into(), choices: vec![choice], ..Answer::default() }
    }

    #[test]
    fn the_end_agrees_with_what_was_done() {
        let called = write_answer(&answer(vec![Content::ToolCall(ToolCall::default())]));
        let declined = write_answer(&answer(vec![Content::Refusal("No.".into())]));

        assert_eq!(called["stop_reason"], "tool_use");
        assert_eq!(declined["stop_reason"], "refusal");
        assert_eq!(declined["content"], json!([{"type": "text", "text": "No."}]));
    }

    #[test]
    fn clients_find_every_field() {
        let written = write_answer(&Answer::default());

        let expected = json!({
            "id": "", "type": "message", "role": "assistant", "model": "", "content": [], "stop_reason": null,
            "stop_sequence": null,
            "usage": {
                "input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0,
            },
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn another_providers_signature_travels_with_its_call() {
        let call = ToolCall { signature: Some("c2ln".into()), name: "f".into(), ..ToolCall::default() };

        let written = write_answer(&answer(vec![Content::ToolCall(call.clone())]));

        let read = content::read(Some(written["content"].clone()), "c").unwrap();
        assert!(matches!(&read[0].content, Content::ToolCall(read) if read.signature == call.signature));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for body in ["", "[]", r#"{"type":"error","error":{}}"#, r#"{"content":"x"}"#, r#"{"content":[{}]}"#] {
            let error = read_answer(body.as_bytes()).unwrap_err();

            assert!(error.message.starts_with("The provider's answer can't be read."), "{body}");
        }
    }
}
