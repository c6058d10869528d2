//! The stream for a caller. Blocks are numbered and come one after the other; only one is open at a time.

use super::{content, error, stop, usage};
use crate::{
    deeds::Deeds,
    pivot::{Delta, Encode, Event, Finish, StreamError, ToolCall, Usage},
    sse,
};
use serde_json::{Value, json};

/// Writes a stream.
///
/// `message_start` waits for the event after [`Event::Start`], which may tell how long the prompt was, and
/// `message_delta` for [`Event::Done`], since counts may come after the reason. A stream that was cut has neither
/// `message_delta` nor `message_stop`. This dialect has one choice and no token probabilities, and its requests can't
/// ask for more: both are left out.
#[derive(Debug, Default)]
pub struct StreamWriter {
    head: Option<(String, String)>,
    has_started: bool,
    has_ended: bool,
    blocks: u64,
    open: Option<Open>,
    usage: Usage,
    finish: Option<Finish>,
    deeds: Deeds,
    out: Vec<sse::Event<'static>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking { is_signed: bool },
    Call { number: u64 },
}

impl Encode for StreamWriter {
    fn encode(&mut self, event: Event) -> Vec<sse::Event<'static>> {
        if self.has_ended {
            return Vec::new();
        }
        match event {
            Event::Start { id, model, .. } if !self.has_started => self.head = Some((id, model)),
            Event::Usage(usage) => {
                self.usage = usage;
                if self.head.is_some() {
                    self.start();
                }
            }
            Event::Delta { choice: 0, delta } => self.add(delta),
            Event::Finish { choice: 0, finish } => {
                self.start();
                self.close();
                self.finish = Some(finish);
            }
            Event::Start { .. } | Event::Delta { .. } | Event::Finish { .. } => {}
            Event::Done => self.end(),
            Event::Error(error) => self.fail(&error),
        }
        std::mem::take(&mut self.out)
    }
}

impl StreamWriter {
    fn start(&mut self) {
        if self.has_started {
            return;
        }
        self.has_started = true;
        let (id, model) = self.head.take().unwrap_or_default();
        let message = json!({
            "id": id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage::write(self.usage),
        });
        self.emit("message_start", json!({ "message": message }));
    }

    fn add(&mut self, delta: Delta) {
        self.start();
        match delta {
            Delta::Text(text) => self.add_text(&text),
            Delta::Refusal(text) => {
                self.deeds.declined |= !text.is_empty();
                self.add_text(&text);
            }
            Delta::Thinking(text) if !text.is_empty() => {
                self.open_thinking();
                self.grow(json!({ "type": "thinking_delta", "thinking": text }));
            }
            Delta::Signature(signature) => {
                self.open_thinking();
                self.grow(json!({ "type": "signature_delta", "signature": signature }));
                self.open = Some(Open::Thinking { is_signed: true });
            }
            Delta::RedactedThinking(data) => {
                self.close();
                self.begin(&content::write_redacted(&data));
                self.stop();
            }
            Delta::ToolCallStart { index, call } => self.begin_call(index, call),
            Delta::ToolArguments { index, text } => self.add_arguments(index, &text),
            Delta::Thinking(_) | Delta::Logprobs(_) => {}
        }
    }

    fn add_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.open != Some(Open::Text) {
            self.close();
            self.begin(&content::write_text(""));
            self.open = Some(Open::Text);
        }
        self.grow(json!({ "type": "text_delta", "text": text }));
    }

    /// A signature ends what it signs: more thinking is another block.
    fn open_thinking(&mut self) {
        if self.open != Some(Open::Thinking { is_signed: false }) {
            self.close();
            self.begin(&content::write_thinking("", None));
            self.open = Some(Open::Thinking { is_signed: false });
        }
    }

    fn begin_call(&mut self, number: u64, call: ToolCall) {
        self.close();
        self.deeds.called = true;
        self.begin(&content::write_made_call(&call, ""));
        self.open = Some(Open::Call { number });
        self.add_arguments(number, &call.arguments);
    }

    fn add_arguments(&mut self, number: u64, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.open == Some(Open::Call { number }) {
            self.grow(json!({ "type": "input_json_delta", "partial_json": text }));
        } else {
            // Half the arguments would look like all of them.
            self.fail(&StreamError {
                kind: "api_error".into(),
                code: None,
                message: "The provider went on with a tool call after its end.".into(),
            });
        }
    }

    fn end(&mut self) {
        self.start();
        self.close();
        let finish = self.finish.take();
        let (reason, sequence) = finish.as_ref().map(|finish| stop::write(finish, self.deeds)).unzip();
        let delta = json!({ "stop_reason": reason, "stop_sequence": sequence.flatten() });
        self.emit("message_delta", json!({ "delta": delta, "usage": usage::write(self.usage) }));
        self.emit("message_stop", json!({}));
        self.has_ended = true;
    }

    fn fail(&mut self, failure: &StreamError) {
        self.has_ended = true;
        self.out.push(sse::Event::new(Some("error".to_owned()), error::of_stream(failure).to_string()));
    }

    fn begin(&mut self, block: &Value) {
        self.emit("content_block_start", json!({ "index": self.blocks, "content_block": block }));
    }

    fn grow(&mut self, delta: Value) {
        self.emit("content_block_delta", json!({ "index": self.blocks, "delta": delta }));
    }

    fn stop(&mut self) {
        self.emit("content_block_stop", json!({ "index": self.blocks }));
        self.blocks += 1;
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.stop();
        }
    }

    fn emit(&mut self, kind: &str, mut event: Value) {
        if let Value::Object(event) = &mut event {
            event.shift_insert(0, "type".into(), kind.into());
        }
        self.out.push(sse::Event::new(Some(kind.to_owned()), event.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Event {
        Event::Start { id: "msg_1".into(), model: "m".into(), created: None }
    }

    fn delta(delta: Delta) -> Event {
        Event::Delta { choice: 0, delta }
    }

    fn write(events: Vec<Event>) -> Vec<Value> {
        let mut writer = StreamWriter::default();
        let written = events.into_iter().flat_map(|event| writer.encode(event));
        written.map(|event| serde_json::from_str(&event.data).unwrap()).collect()
    }

    fn kinds(events: Vec<Event>) -> Vec<String> {
        write(events).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_known_prompt_is_told_at_the_start_and_an_unknown_one_at_the_end() {
        let usage = || Event::Usage(Usage { input: 5, output: 2, ..Usage::default() });
        let text = || delta(Delta::Text("x".into()));

        let known = write(vec![start(), usage(), text()]);
        let unknown = write(vec![start(), text(), usage(), Event::Done]);

        assert_eq!(known[0]["message"]["usage"]["input_tokens"], 5);
        assert_eq!(unknown[0]["message"]["usage"]["input_tokens"], 0);
        assert_eq!(unknown[4]["usage"]["input_tokens"], 5);
    }

    #[test]
    fn the_last_counts_win_wherever_they_come() {
        let usage = |output| Event::Usage(Usage { output, ..Usage::default() });
        let finish = Event::Finish { choice: 0, finish: Finish::Length };

        let written = write(vec![start(), usage(1), finish, usage(2), usage(3), Event::Done]);

        assert_eq!(written[1]["usage"]["output_tokens"], 3);
        assert_eq!(written[1]["delta"]["stop_reason"], "max_tokens");
    }

    #[test]
    fn a_cut_stream_has_no_end() {
        let finish = Event::Finish { choice: 0, finish: Finish::Stop };

        let kinds = kinds(vec![start(), delta(Delta::Text("x".into())), finish, Event::Usage(Usage::default())]);

        assert_eq!(kinds, ["message_start", "content_block_start", "content_block_delta", "content_block_stop"]);
    }

    #[test]
    fn a_call_that_goes_on_after_its_end_is_an_error() {
        let call = |index| delta(Delta::ToolCallStart { index, call: ToolCall::default() });
        let arguments = delta(Delta::ToolArguments { index: 0, text: "{".into() });

        let kinds = kinds(vec![start(), call(0), call(1), arguments, Event::Done]);

        assert_eq!(kinds.last().unwrap(), "error");
    }

    #[test]
    fn thinking_after_a_signature_is_another_block() {
        let thinking = || delta(Delta::Thinking("Hm.".into()));
        let signature = delta(Delta::Signature("c2ln".into()));

        let written = write(vec![start(), thinking(), signature, thinking(), Event::Done]);

        let starts = written.iter().filter(|event| event["type"] == "content_block_start");
        assert_eq!(starts.map(|event| event["index"].clone()).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn an_error_needs_no_start() {
        let error = StreamError { kind: "rate_limit_error".into(), code: None, message: "Slow down.".into() };

        let written = write(vec![Event::Error(error), Event::Done]);

        assert_eq!(written, [json!({"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down."}})]);
    }
}
