//! Whole answers.

use super::{
    echo::Echo,
    items::{self, COMPLETED, INCOMPLETE},
    response::{self, Head, Standing},
    sealed::Sealed,
};
use crate::{
    deeds::Deeds,
    pivot::{Answer, Choice, Content, Part, ToolCall},
};
use serde_json::{Map, Value};

/// Writes the answer to the request that `echo` was read from.
///
/// The dialect has one choice, so others are left out; the request can't ask for them. Neither are there words for
/// sound and files from a model, nor for tools a provider ran of its own accord.
#[must_use]
pub fn write_answer(answer: &Answer, echo: &Echo) -> Value {
    let nothing = Choice::default();
    let choice = answer.choices.first().unwrap_or(&nothing);
    let standing = Standing::of(choice.finish.as_ref(), Deeds::of(&choice.parts).declined);
    let mut output = Output { answer_id: &answer.id, as_summary: echo.wants_summary, items: Vec::new(), text: None };
    let mut tokens = choice.logprobs.clone().map(items::tokens).unwrap_or_default();
    for part in &choice.parts {
        output.add(part, &mut tokens);
    }
    output.end_message();
    if matches!(standing, Standing::Incomplete(_)) {
        output.cut_last();
    }
    let head = Head { id: answer.id.clone(), model: answer.model.clone(), created: answer.created };
    response::write(echo, &head, &standing, &output.items, answer.usage.as_ref(), &answer.rest)
}

struct Output<'a> {
    answer_id: &'a str,
    as_summary: bool,
    items: Vec<Value>,
    // The content of the message that is being written.
    text: Option<Vec<Value>>,
}

impl Output<'_> {
    fn add(&mut self, part: &Part, tokens: &mut Vec<Value>) {
        match &part.content {
            Content::Text(text) if text.is_empty() => {}
            Content::Text(text) => {
                let tokens = std::mem::take(tokens);
                self.add_to_message(with_rest(items::output_text(text, &tokens), &part.rest));
            }
            Content::Refusal(text) => self.add_to_message(with_rest(items::refusal(text), &part.rest)),
            Content::Thinking { text, signature } => {
                let sealed = signature.clone().map(Sealed::Signature);
                if !text.is_empty() || sealed.is_some() {
                    self.add_reasoning(text, sealed.as_ref(), &part.rest);
                }
            }
            Content::RedactedThinking(secret) => {
                self.add_reasoning("", Some(&Sealed::Redacted(secret.clone())), &part.rest);
            }
            Content::ToolCall(call) => self.add_call(call, &part.rest),
            Content::Image(media) => {
                self.end_message();
                let item = items::image(&self.next_id("ig"), media);
                self.items.extend(item.map(|item| with_rest(item, &part.rest)));
            }
            Content::File(_) | Content::Audio(_) | Content::ToolResult { .. } | Content::Other(_) => {}
        }
    }

    fn add_to_message(&mut self, part: Value) {
        self.text.get_or_insert_default().push(part);
    }

    fn add_reasoning(&mut self, text: &str, sealed: Option<&Sealed>, rest: &Map<String, Value>) {
        self.end_message();
        let item = items::reasoning(&self.next_id("rs"), COMPLETED, text, self.as_summary, sealed);
        self.items.push(with_rest(item, rest));
    }

    fn add_call(&mut self, call: &ToolCall, rest: &Map<String, Value>) {
        if let Some(signature) = &call.signature {
            self.add_reasoning("", Some(&Sealed::Call(signature.clone())), &Map::new());
        }
        self.end_message();
        let item = items::function_call(&self.next_id("fc"), COMPLETED, call);
        self.items.push(with_rest(item, rest));
    }

    fn end_message(&mut self) {
        if let Some(content) = self.text.take() {
            self.items.push(items::message(&self.next_id("msg"), COMPLETED, &content));
        }
    }

    fn next_id(&self, prefix: &str) -> String {
        items::item_id(prefix, self.answer_id, self.items.len())
    }

    /// Marks where the answer was cut. Reasoning that its provider signed is whole.
    fn cut_last(&mut self) {
        if let Some(item) = self.items.last_mut().filter(|item| item.get("encrypted_content").is_none()) {
            item["status"] = INCOMPLETE.into();
        }
    }
}

fn with_rest(mut object: Value, rest: &Map<String, Value>) -> Value {
    for (name, value) in rest {
        // Only the dialect's own fields are known here, and they were written.
        if object.get(name).is_none() {
            object[name] = value.clone();
        }
    }
    object
}
