//! One of the choices of a whole answer, and its message.

use super::{
    calls, content, finish,
    object::{self, Object},
    thinking,
};
use crate::{
    deeds::Deeds,
    fields::{Fields, objects},
    media,
    pivot::{Choice, Content, Part, TranslateError},
};
use serde_json::{Map, Value, json};

/// Reads all choices of the answer `id`.
pub(super) fn read_all(list: Vec<Value>, id: &str) -> Result<Vec<Choice>, TranslateError> {
    objects(list, "choices")?
        .into_iter()
        .enumerate()
        .map(|(number, choice)| read_choice(choice, number as u64, id))
        .collect()
}

fn read_choice(mut choice: Fields, number: u64, id: &str) -> Result<Choice, TranslateError> {
    let index = choice.unsigned("index")?.unwrap_or(number);
    let mut message = choice.required_object("message")?;
    let parts = read_message(&mut message, |call| call_id(id, index, call as u64))?;
    let stop_reason = choice.take("stop_reason");
    let reason = choice.string("finish_reason")?;
    let finish = reason.map(|reason| finish::read(&reason, stop_reason.as_ref(), Deeds::of(&parts)));
    // The number of a token; a text is told by the finish.
    if let Some(token) = stop_reason.filter(|reason| !reason.is_string()) {
        choice.put("stop_reason", token);
    }
    let logprobs = choice.take("logprobs");
    let mut rest = choice.rest();
    // The message is the choice in the pivot; what is unknown in it is told apart.
    let unknown = message.rest();
    if !unknown.is_empty() {
        rest.insert("message".into(), unknown.into());
    }
    Ok(Choice { index, parts, finish, logprobs, rest })
}

fn read_message(message: &mut Fields, name_call: impl Fn(usize) -> String) -> Result<Vec<Part>, TranslateError> {
    message.ignore(&["role"]);
    let mut parts = thinking::read(message)?;
    let content = message.take("content");
    parts.extend(content::read(content, &message.place("content"))?);
    let refusal = message.string("refusal")?.filter(|text| !text.is_empty());
    parts.extend(refusal.map(|text| Part::new(Content::Refusal(text))));
    // The images that a model made, as other gateways of this dialect tell them.
    let images = message.take("images");
    parts.extend(content::read(images, &message.place("images"))?);
    parts.extend(calls::read(message, name_call)?);
    Ok(parts)
}

/// An id for a call whose server gave none.
pub(super) fn call_id(answer_id: &str, choice: u64, number: u64) -> String {
    format!("call_{answer_id}_{choice}_{number}")
}

/// Writes a choice.
pub(super) fn write(choice: &Choice) -> Value {
    let (reason, stop_reason) = match &choice.finish {
        Some(finish) => finish::write(finish, Deeds::of(&choice.parts)),
        None => ("", None),
    };
    // Here, unlike in requests, null is what clients expect.
    let reason = if reason.is_empty() { Value::Null } else { reason.into() };
    let mut rest = choice.rest.clone();
    let mut written = json!({
        "index": choice.index,
        "message": write_message(&choice.parts),
        "logprobs": choice.logprobs,
        "finish_reason": reason,
    });
    written.add("stop_reason", stop_reason);
    written.add_inner(&mut rest, "message");
    written.add_rest(&rest);
    written
}

fn write_message(parts: &[Part]) -> Value {
    let mut content: Option<String> = None;
    let mut refusal: Option<String> = None;
    let mut images = Vec::new();
    let mut calls = Vec::new();
    let mut about_text = Map::new();
    for part in parts {
        match &part.content {
            Content::Text(text) => {
                content.get_or_insert_default().push_str(text);
                gather(&mut about_text, &part.rest);
            }
            Content::Refusal(text) => refusal.get_or_insert_default().push_str(text),
            Content::Image(image) => {
                images.extend(
                    media::to_url(image).map(|url| json!({ "type": "image_url", "image_url": { "url": url } })),
                );
            }
            Content::ToolCall(call) => calls.push(calls::write(call, &part.rest)),
            // `write_answer` says why not.
            Content::Thinking { .. }
            | Content::RedactedThinking(_)
            | Content::File(_)
            | Content::Audio(_)
            | Content::ToolResult { .. }
            | Content::Other(_) => {}
        }
    }
    let mut message = json!({ "role": "assistant", "content": content, "refusal": refusal });
    message.add("reasoning_content", thinking::write_text(parts.iter()));
    message.add("thinking_blocks", thinking::write_blocks(parts.iter()));
    message.add("images", (!images.is_empty()).then_some(images));
    message.add("tool_calls", (!calls.is_empty()).then_some(calls));
    message.add_rest(&about_text);
    message
}

/// What is told about each text, as `annotations`, is told about the whole.
fn gather(about: &mut Map<String, Value>, rest: &Map<String, Value>) {
    for (name, value) in object::without_hints(rest) {
        match (about.get_mut(name), value) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more.iter().cloned()),
            (Some(_), _) => {}
            (None, value) => {
                about.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pivot::{Finish, Media, MediaSource, ToolCall};

    fn message(parts: Vec<Content>) -> Value {
        write_message(&parts.into_iter().map(Part::new).collect::<Vec<_>>())
    }

    #[test]
    fn several_texts_are_one() {
        let text = |text: &str, source: u64| Part {
            content: Content::Text(text.into()),
            rest: [("annotations".to_owned(), json!([source]))].into_iter().collect(),
        };

        let written = write_message(&[text("a", 1), text("b", 2)]);

        let expected = json!({"role": "assistant", "content": "ab", "refusal": null, "annotations": [1, 2]});
        assert_eq!(written, expected);
    }

    #[test]
    fn calls_alone_have_no_content() {
        let call = ToolCall { id: "a".into(), name: "f".into(), arguments: "{}".into(), signature: None };

        let written = message(vec![Content::ToolCall(call)]);

        assert_eq!(written["content"], Value::Null);
        assert_eq!(written["tool_calls"][0]["id"], "a");
    }

    #[test]
    fn images_come_back() {
        let image = Media { source: MediaSource::Base64("AA".into()), media_type: Some("image/png".into()) };
        let parts = vec![Content::Text("Look:".into()), Content::Image(image)];

        let written = message(parts.clone());

        let mut fields = Fields::new(written, "m").unwrap();
        let read: Vec<_> =
            read_message(&mut fields, |_| String::new()).unwrap().into_iter().map(|p| p.content).collect();
        assert_eq!(read, parts);
        assert!(fields.rest().is_empty());
    }

    #[test]
    fn an_answer_that_did_not_end_says_so() {
        assert_eq!(write(&Choice::default())["finish_reason"], Value::Null);
        let ended = Choice { finish: Some(Finish::Stop), ..Choice::default() };
        assert_eq!(write(&ended)["finish_reason"], "stop");
    }
}
