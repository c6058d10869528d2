//! Streams as a caller gets them: chunks, then `[DONE]`. Each choice begins with its role and ends with its reason.

use super::{calls, finish, object::Object, thinking, usage};
use crate::{
    deeds::Deeds,
    pivot::{Delta, Encode, Event, Finish, StreamError, ToolCall, Usage},
    sse,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Writes a stream.
#[derive(Debug)]
pub struct StreamWriter {
    shows_usage: bool,
    id: String,
    model: String,
    created: i64,
    choices: BTreeMap<u64, ChoiceState>,
    usage: Option<Usage>,
    chunks: Vec<sse::Event<'static>>,
    has_ended: bool,
}

#[derive(Debug, Default)]
struct ChoiceState {
    deeds: Deeds,
    // Since the last proof, which is told together with what it proves.
    reasoning: String,
    blocks: u64,
    calls_without_arguments: BTreeSet<u64>,
}

impl StreamWriter {
    /// A writer that tells the usage before the end, if the caller asked for it.
    #[must_use]
    pub fn new(shows_usage: bool) -> Self {
        Self {
            shows_usage,
            id: String::new(),
            model: String::new(),
            created: 0,
            choices: BTreeMap::new(),
            usage: None,
            chunks: Vec::new(),
            has_ended: false,
        }
    }

    fn emit(&mut self, choices: Value, usage: Option<&Usage>) {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        });
        if self.shows_usage {
            // OpenAI has null on all chunks but the last.
            chunk.add("usage", Some(usage.map_or(Value::Null, usage::write)));
        }
        self.emit_data(chunk.to_string());
    }

    fn emit_data(&mut self, data: String) {
        self.chunks.push(sse::Event::new(None, data));
    }

    fn emit_delta(&mut self, choice: u64, delta: Value, logprobs: Option<Value>) {
        let mut written = json!({ "index": choice, "delta": delta });
        written.add("logprobs", logprobs);
        written.add("finish_reason", Some(Value::Null));
        self.emit(json!([written]), None);
    }

    fn begin(&mut self, choice: u64) -> &mut ChoiceState {
        if !self.choices.contains_key(&choice) {
            self.emit_delta(choice, json!({ "role": "assistant", "content": "" }), None);
        }
        self.choices.entry(choice).or_default()
    }

    fn add(&mut self, choice: u64, delta: Delta) {
        let state = self.begin(choice);
        let mut logprobs = None;
        let written = match delta {
            Delta::Text(text) | Delta::Thinking(text) | Delta::Refusal(text) if text.is_empty() => return,
            Delta::ToolArguments { text, .. } if text.is_empty() => return,
            Delta::Text(text) => json!({ "content": text }),
            Delta::Thinking(text) => {
                state.reasoning.push_str(&text);
                json!({ "reasoning_content": text })
            }
            Delta::Signature(signature) => {
                let text = std::mem::take(&mut state.reasoning);
                state.write_block(thinking::signed_block(&text, &signature))
            }
            Delta::RedactedThinking(data) => state.write_block(thinking::redacted_block(&data)),
            Delta::ToolCallStart { index, call } => {
                state.deeds.called = true;
                if call.arguments.is_empty() {
                    state.calls_without_arguments.insert(index);
                }
                json!({ "tool_calls": [write_call(index, &call)] })
            }
            Delta::ToolArguments { index, text } => {
                state.calls_without_arguments.remove(&index);
                write_arguments(index, &text)
            }
            Delta::Refusal(text) => {
                state.deeds.declined = true;
                json!({ "refusal": text })
            }
            Delta::Logprobs(tokens) => {
                logprobs = Some(tokens);
                json!({})
            }
        };
        self.emit_delta(choice, written, logprobs);
    }

    fn finish(&mut self, choice: u64, finish: &Finish) {
        let state = self.begin(choice);
        let deeds = state.deeds;
        // Callers read the arguments as JSON, which nothing is not.
        for index in std::mem::take(&mut state.calls_without_arguments) {
            self.emit_delta(choice, write_arguments(index, "{}"), None);
        }
        let (reason, stop_reason) = finish::write(finish, deeds);
        let mut written = json!({ "index": choice, "delta": {}, "finish_reason": reason });
        written.add("stop_reason", stop_reason);
        self.emit(json!([written]), None);
    }

    fn end(&mut self) {
        if let Some(usage) = self.usage.filter(|_| self.shows_usage) {
            self.emit(json!([]), Some(&usage));
        }
        self.emit_data("[DONE]".to_owned());
        self.has_ended = true;
    }

    fn fail(&mut self, error: &StreamError) {
        let object = json!({ "message": error.message, "type": error.kind, "param": null, "code": error.code });
        self.emit_data(json!({ "error": object }).to_string());
        self.has_ended = true;
    }
}

impl ChoiceState {
    /// With its number, by which OpenAI's Python client puts the parts of a list together.
    fn write_block(&mut self, mut block: Value) -> Value {
        block.add("index", Some(self.blocks));
        self.blocks += 1;
        json!({ "thinking_blocks": [block] })
    }
}

fn write_call(index: u64, call: &ToolCall) -> Value {
    let function = json!({ "name": call.name, "arguments": call.arguments });
    let mut written = json!({ "index": index, "id": call.id, "type": "function", "function": function });
    written.add("extra_content", call.signature.as_deref().map(calls::extra_content));
    written
}

fn write_arguments(index: u64, text: &str) -> Value {
    json!({ "tool_calls": [{ "index": index, "function": { "arguments": text } }] })
}

impl Encode for StreamWriter {
    fn encode(&mut self, event: Event) -> Vec<sse::Event<'static>> {
        if self.has_ended {
            return Vec::new();
        }
        match event {
            Event::Start { id, model, created } => {
                (self.id, self.model, self.created) = (id, model, created.unwrap_or(0));
                self.begin(0);
            }
            Event::Delta { choice, delta } => self.add(choice, delta),
            Event::Finish { choice, finish } => self.finish(choice, &finish),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Done => self.end(),
            Event::Error(error) => self.fail(&error),
        }
        std::mem::take(&mut self.chunks)
    }
}
