//! Streams as a provider sends them: chunks, then `[DONE]`.

use super::{choice::call_id, finish, usage};
use crate::{
    deeds::Deeds,
    openai,
    pivot::{Decode, Delta, Event, StreamError, ToolCall, TranslateError},
    sse,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads a stream. What only whole answers have room for is lost: unknown fields, annotations, the number of a stop
/// token. Media, which would be the answer itself, is an error.
#[derive(Debug, Default)]
pub struct StreamReader {
    id: Option<String>,
    choices: BTreeMap<u64, ChoiceState>,
    is_done: bool,
}

#[derive(Debug, Default)]
struct ChoiceState {
    // By the provider's index, if it gives one.
    calls: Vec<CallState>,
    refused: bool,
    reasoning: Option<Source>,
}

#[derive(Debug)]
struct CallState {
    index: Option<u64>,
    id: Option<String>,
}

/// Which field tells the text of the reasoning. Servers with both say it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Text,
    Blocks,
}

#[derive(Deserialize)]
struct Chunk {
    id: Option<String>,
    model: Option<String>,
    created: Option<Value>,
    choices: Option<Vec<ChunkChoice>>,
    usage: Option<Value>,
    error: Option<Value>,
    object: Option<Value>,
    #[serde(rename = "type")]
    kind: Option<Value>,
    code: Option<Value>,
    message: Option<Value>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    index: Option<u64>,
    delta: Option<ChunkDelta>,
    finish_reason: Option<String>,
    stop_reason: Option<Value>,
    logprobs: Option<Value>,
}

#[derive(Default, Deserialize)]
struct ChunkDelta {
    content: Option<String>,
    reasoning_content: Option<Value>,
    reasoning: Option<Value>,
    refusal: Option<String>,
    thinking_blocks: Option<Vec<Block>>,
    tool_calls: Option<Vec<CallDelta>>,
    function_call: Option<Value>,
    images: Option<Value>,
    audio: Option<Value>,
}

#[derive(Deserialize)]
struct Block {
    thinking: Option<String>,
    signature: Option<String>,
    data: Option<String>,
}

#[derive(Deserialize)]
struct CallDelta {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionDelta>,
    extra_content: Option<Value>,
}

#[derive(Default, Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<String>,
}

impl Decode for StreamReader {
    fn decode(&mut self, event: &sse::Event) -> Result<Vec<Event>, TranslateError> {
        let data = event.data.trim();
        if self.is_done || data.is_empty() {
            return Ok(Vec::new());
        }
        if data == "[DONE]" {
            self.is_done = true;
            return Ok(vec![Event::Done]);
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(unreadable)?;
        if let Some(error) = read_error(&chunk) {
            self.is_done = true;
            return Ok(vec![Event::Error(error)]);
        }
        self.read_chunk(chunk)
    }
}

impl StreamReader {
    fn read_chunk(&mut self, chunk: Chunk) -> Result<Vec<Event>, TranslateError> {
        let mut events: Vec<_> = self.start(&chunk).into_iter().collect();
        let id = self.id.as_deref().unwrap_or_default();
        for choice in chunk.choices.unwrap_or_default() {
            let index = choice.index.unwrap_or(0);
            let state = self.choices.entry(index).or_default();
            let mut deltas = Vec::new();
            state.read_delta(choice.delta.unwrap_or_default(), &mut deltas, |call| call_id(id, index, call))?;
            deltas.extend(choice.logprobs.map(Delta::Logprobs));
            events.extend(deltas.into_iter().map(|delta| Event::Delta { choice: index, delta }));
            let deeds = Deeds { called: !state.calls.is_empty(), declined: state.refused };
            let finish = choice.finish_reason.map(|reason| finish::read(&reason, choice.stop_reason.as_ref(), deeds));
            events.extend(finish.map(|finish| Event::Finish { choice: index, finish }));
        }
        events.extend(chunk.usage.as_ref().and_then(usage::read).map(Event::Usage));
        Ok(events)
    }

    fn start(&mut self, chunk: &Chunk) -> Option<Event> {
        let id = chunk.id.clone().unwrap_or_default();
        // Azure's first chunk is about the prompt and has neither.
        let says_nothing = id.is_empty() && chunk.choices.as_ref().is_none_or(Vec::is_empty);
        if self.id.is_some() || says_nothing {
            return None;
        }
        self.id = Some(id.clone());
        let model = chunk.model.clone().unwrap_or_default();
        Some(Event::Start { id, model, created: chunk.created.as_ref().and_then(openai::read_time) })
    }
}

impl ChoiceState {
    fn read_delta(
        &mut self,
        delta: ChunkDelta,
        deltas: &mut Vec<Delta>,
        name_call: impl Fn(u64) -> String,
    ) -> Result<(), TranslateError> {
        if delta.function_call.is_some() || says_something(delta.images.as_ref()) || delta.audio.is_some() {
            return Err(unreadable("it holds a `function_call`, images or sound"));
        }
        let texts = [delta.reasoning_content, delta.reasoning];
        let text = texts.into_iter().flatten().find_map(|text| text.as_str().map(str::to_owned));
        self.add_reasoning(Source::Text, told(text), deltas);
        for block in delta.thinking_blocks.unwrap_or_default() {
            self.read_block(block, deltas);
        }
        deltas.extend(told(delta.content).map(Delta::Text));
        if let Some(text) = told(delta.refusal) {
            self.refused = true;
            deltas.push(Delta::Refusal(text));
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.read_call(call, deltas, &name_call)?;
        }
        Ok(())
    }

    /// The first source counts until a proof ends the reasoning.
    fn add_reasoning(&mut self, source: Source, text: Option<String>, deltas: &mut Vec<Delta>) {
        if let Some(text) = text
            && *self.reasoning.get_or_insert(source) == source
        {
            deltas.push(Delta::Thinking(text));
        }
    }

    fn read_block(&mut self, block: Block, deltas: &mut Vec<Delta>) {
        self.add_reasoning(Source::Blocks, told(block.thinking), deltas);
        if let Some(signature) = told(block.signature) {
            deltas.push(Delta::Signature(signature));
            self.reasoning = None;
        }
        deltas.extend(told(block.data).map(Delta::RedactedThinking));
    }

    fn read_call(
        &mut self,
        call: CallDelta,
        deltas: &mut Vec<Delta>,
        name_call: impl Fn(u64) -> String,
    ) -> Result<(), TranslateError> {
        let function = call.function.unwrap_or_default();
        let id = told(call.id);
        let name = told(function.name);
        let arguments = function.arguments.unwrap_or_default();
        if let Some(number) = self.find_call(call.index, id.as_deref(), name.is_some()) {
            if !arguments.is_empty() {
                deltas.push(Delta::ToolArguments { index: number, text: arguments });
            }
            return Ok(());
        }
        let name = name.ok_or_else(|| unreadable("a tool call begins without a name"))?;
        let number = self.calls.len() as u64;
        self.calls.push(CallState { index: call.index, id: id.clone() });
        let signature = call.extra_content.as_ref().and_then(|extra| extra.pointer("/google/thought_signature"));
        let signature = signature.and_then(Value::as_str).map(str::to_owned);
        let call = ToolCall { id: id.unwrap_or_else(|| name_call(number)), name, arguments, signature };
        deltas.push(Delta::ToolCallStart { index: number, call });
        Ok(())
    }

    /// The number of the call that a delta goes on with. Google gives every call the index 0 but an id of its own, and
    /// some servers give whole calls without an index.
    fn find_call(&self, index: Option<u64>, id: Option<&str>, has_name: bool) -> Option<u64> {
        let position = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index),
            None if has_name => None,
            None => self.calls.len().checked_sub(1),
        }?;
        let is_another = has_name && id.is_some() && self.calls[position].id.as_deref() != id;
        (!is_another).then_some(position as u64)
    }
}

/// An error stands in `error`, or is the whole chunk as of older vLLM.
fn read_error(chunk: &Chunk) -> Option<StreamError> {
    let word = |value: Option<&Value>| match value {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let (kind, code, message) = match &chunk.error {
        Some(Value::Object(error)) => (error.get("type"), error.get("code"), error.get("message")),
        Some(error) => (None, None, Some(error)),
        None if chunk.object.as_ref().is_some_and(|object| object == "error") => {
            (chunk.kind.as_ref(), chunk.code.as_ref(), chunk.message.as_ref())
        }
        None => return None,
    };
    Some(StreamError {
        kind: word(kind).unwrap_or_default(),
        code: word(code),
        message: word(message).unwrap_or_default(),
    })
}

fn says_something(images: Option<&Value>) -> bool {
    images.is_some_and(|images| images.as_array().is_none_or(|list| !list.is_empty()))
}

/// Servers give empty texts where they have nothing to say.
fn told(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn unreadable(why: impl std::fmt::Display) -> TranslateError {
    TranslateError { message: format!("A chunk of the provider's stream can't be read: {why}."), param: None }
}
