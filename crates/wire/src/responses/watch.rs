//! Streams of a provider that speaks this dialect itself. They go to the caller as they came; this is for watching.

use super::{native::read_finish, sealed::Sealed, usage};
use crate::{
    deeds::Deeds,
    openai,
    pivot::{Decode, Delta, Event, StreamError, ToolCall, TranslateError},
    sse,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

/// Reads a stream of a provider of this dialect as far as it is text, reasoning, calls, usage and its end. Logprobs,
/// annotations and what tools of the provider's do are left out.
#[derive(Debug, Default)]
pub struct StreamReader {
    // By output index.
    calls: HashMap<i64, Call>,
    reasoning: HashMap<i64, String>,
    // Of the next call.
    signature: Option<String>,
    refused: bool,
    has_ended: bool,
}

#[derive(Debug)]
struct Call {
    number: u64,
    has_arguments: bool,
}

#[derive(Deserialize)]
struct StreamEvent {
    #[serde(rename = "type")]
    kind: Option<String>,
    output_index: Option<i64>,
    summary_index: Option<i64>,
    delta: Option<Value>,
    item: Option<Value>,
    response: Option<Value>,
    error: Option<Value>,
    code: Option<Value>,
    message: Option<Value>,
}

impl Decode for StreamReader {
    fn decode(&mut self, event: &sse::Event) -> Result<Vec<Event>, TranslateError> {
        // Some servers end with the marker of chat completions; the end was told before.
        if self.has_ended || event.data.is_empty() || event.data == "[DONE]" {
            return Ok(Vec::new());
        }
        let event: StreamEvent = serde_json::from_str(&event.data).map_err(|error| TranslateError {
            message: format!("An event of the provider's stream can't be read: {error}."),
            param: None,
        })?;
        let kind = event.kind.clone().unwrap_or_default();
        Ok(match kind.as_str() {
            "response.created" => vec![read_start(event.response.as_ref())],
            "response.completed" | "response.incomplete" => self.read_end(event.response.unwrap_or_default()),
            "response.failed" => {
                let response = event.response.unwrap_or_default();
                self.fail(&response["error"], usage::read(&response["usage"]).map(Event::Usage))
            }
            "" | "error" if event.error.is_some() => self.fail(&event.error.unwrap_or_default(), None),
            "error" => {
                let flat = serde_json::json!({ "code": event.code, "message": event.message });
                self.fail(&flat, None)
            }
            kind => self.read_step(kind, event).into_iter().map(|delta| Event::Delta { choice: 0, delta }).collect(),
        })
    }
}

impl StreamReader {
    /// A reader at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn read_step(&mut self, kind: &str, event: StreamEvent) -> Vec<Delta> {
        let index = event.output_index.unwrap_or(0);
        let text = event.delta.and_then(|delta| delta.as_str().map(str::to_owned)).filter(|text| !text.is_empty());
        match (kind, text, event.item) {
            ("response.output_text.delta", Some(text), _) => vec![Delta::Text(text)],
            ("response.refusal.delta", Some(text), _) => {
                self.refused = true;
                vec![Delta::Refusal(text)]
            }
            ("response.reasoning_text.delta" | "response.reasoning_summary_text.delta", Some(text), _) => {
                self.read_reasoning(kind, index, text)
            }
            ("response.reasoning_summary_part.added", _, _) if event.summary_index.is_some_and(|part| part > 0) => {
                self.read_reasoning("response.reasoning_summary_text.delta", index, "\n\n".to_owned())
            }
            ("response.function_call_arguments.delta", Some(text), _) => self.add_arguments(index, text),
            ("response.output_item.added", _, Some(item)) => self.read_call(index, &item),
            ("response.output_item.done", _, Some(item)) => self.read_item(index, item),
            _ => Vec::new(),
        }
    }

    /// Where a server tells both the reasoning and its summary, the first counts.
    fn read_reasoning(&mut self, kind: &str, index: i64, text: String) -> Vec<Delta> {
        let first = self.reasoning.entry(index).or_insert_with(|| kind.to_owned());
        if first == kind { vec![Delta::Thinking(text)] } else { Vec::new() }
    }

    fn read_call(&mut self, index: i64, item: &Value) -> Vec<Delta> {
        if item["type"] != "function_call" || self.calls.contains_key(&index) {
            return Vec::new();
        }
        let word = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let number = self.calls.len() as u64;
        let signature = self.signature.take();
        let call = ToolCall { id: word("call_id"), name: word("name"), arguments: word("arguments"), signature };
        self.calls.insert(index, Call { number, has_arguments: !call.arguments.is_empty() });
        vec![Delta::ToolCallStart { index: number, call }]
    }

    fn add_arguments(&mut self, index: i64, text: String) -> Vec<Delta> {
        let call = self.calls.get_mut(&index);
        call.map(|call| {
            call.has_arguments = true;
            Delta::ToolArguments { index: call.number, text }
        })
        .into_iter()
        .collect()
    }

    /// A done item tells what only it knows, and what some servers tell only there.
    fn read_item(&mut self, index: i64, mut item: Value) -> Vec<Delta> {
        let mut deltas = self.read_call(index, &item);
        if item["type"] == "function_call" && self.calls.get(&index).is_some_and(|call| !call.has_arguments) {
            let text = item["arguments"].as_str().unwrap_or_default().to_owned();
            deltas.extend(self.add_arguments(index, text).into_iter().filter(adds_something));
        }
        if item["type"] == "reasoning"
            && let Value::String(sealed) = item["encrypted_content"].take()
        {
            match Sealed::read(sealed) {
                Sealed::Signature(signature) => deltas.push(Delta::Signature(signature)),
                Sealed::Redacted(secret) => deltas.push(Delta::RedactedThinking(secret)),
                Sealed::Call(signature) => self.signature = Some(signature),
            }
        }
        deltas
    }

    fn read_end(&mut self, response: Value) -> Vec<Event> {
        self.has_ended = true;
        let deeds = Deeds { called: !self.calls.is_empty(), declined: self.refused };
        let reason = response["incomplete_details"]["reason"].as_str();
        let finish = read_finish(response["status"].as_str(), reason, deeds);
        let mut events = vec![Event::Finish { choice: 0, finish }];
        events.extend(usage::read(&response["usage"]).map(Event::Usage));
        events.push(Event::Done);
        events
    }

    fn fail(&mut self, error: &Value, usage: Option<Event>) -> Vec<Event> {
        self.has_ended = true;
        let code = match &error["code"] {
            Value::String(code) => Some(code.clone()),
            Value::Number(code) => Some(code.to_string()),
            _ => None,
        };
        let kind = error["type"].as_str().map(str::to_owned).or_else(|| code.clone()).unwrap_or_default();
        let message = error["message"].as_str().unwrap_or_default().to_owned();
        usage.into_iter().chain([Event::Error(StreamError { kind, code, message })]).collect()
    }
}

fn read_start(response: Option<&Value>) -> Event {
    let word = |name: &str| response.and_then(|response| response[name].as_str()).unwrap_or_default().to_owned();
    let created = response.and_then(|response| openai::read_time(&response["created_at"]));
    Event::Start { id: word("id"), model: word("model"), created }
}

fn adds_something(delta: &Delta) -> bool {
    !matches!(delta, Delta::ToolArguments { text, .. } if text.is_empty())
}
