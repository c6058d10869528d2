//! The stream of a provider: blocks that begin, grow and end, one after the other.

use super::{answer::unreadable, stop, usage::Counts};
use crate::{
    fields::Fields,
    pivot::{Decode, Delta, Event, StreamError, ToolCall, TranslateError},
    sse,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads a stream. `message_stop` is its end marker.
///
/// What only whole answers have room for is lost: citations, and what Anthropic's own tools were asked and gave.
#[derive(Debug, Default)]
pub struct StreamReader {
    blocks: BTreeMap<u64, Block>,
    calls: u64,
    counts: Counts,
    is_done: bool,
}

#[derive(Debug)]
enum Block {
    /// The call with this number. Its input of the beginning counts if nothing comes after it.
    Call {
        number: u64,
        input: Option<String>,
    },
    Other,
}

impl Decode for StreamReader {
    fn decode(&mut self, event: &sse::Event) -> Result<Vec<Event>, TranslateError> {
        if self.is_done || event.data.is_empty() {
            return Ok(Vec::new());
        }
        let mut events = Vec::new();
        self.read(event, &mut events).map_err(|error| unreadable(&error))?;
        Ok(events)
    }
}

impl StreamReader {
    fn read(&mut self, event: &sse::Event, events: &mut Vec<Event>) -> Result<(), TranslateError> {
        let mut data = Fields::of_body(event.data.as_bytes())?;
        let kind = data.string("type")?.or_else(|| event.event.as_deref().map(str::to_owned));
        match kind.as_deref() {
            Some("message_start") => self.start(data.required_object("message")?, events)?,
            Some("content_block_start") => self.begin(&mut data, events)?,
            Some("content_block_delta") => self.grow(&mut data, events)?,
            Some("content_block_stop") => self.end(&mut data, events)?,
            Some("message_delta") => self.finish(&mut data, events)?,
            Some("message_stop") => {
                self.is_done = true;
                events.push(Event::Done);
            }
            Some("error") => self.fail(&mut data, events)?,
            // Pings, and what may come one day.
            Some(_) => {}
            None => match data.take("error") {
                Some(error) => self.fail(&mut Fields::new(serde_json::json!({ "error": error }), "")?, events)?,
                None => return Err(data.error("type", "is required.")),
            },
        }
        Ok(())
    }

    fn start(&mut self, mut message: Fields, events: &mut Vec<Event>) -> Result<(), TranslateError> {
        events.push(Event::Start {
            id: message.string("id")?.unwrap_or_default(),
            model: message.string("model")?.unwrap_or_default(),
            created: None,
        });
        self.count(&mut message, events)
    }

    fn count(&mut self, data: &mut Fields, events: &mut Vec<Event>) -> Result<(), TranslateError> {
        if let Some(usage) = data.object("usage")? {
            self.counts.update(usage)?;
            events.push(Event::Usage(self.counts.usage()));
        }
        Ok(())
    }

    fn begin(&mut self, data: &mut Fields, events: &mut Vec<Event>) -> Result<(), TranslateError> {
        let index = index(data)?;
        let mut block = data.required_object("content_block")?;
        let mut kept = Block::Other;
        match block.required_string("type")?.as_str() {
            "text" => add(events, block.string("text")?, Delta::Text),
            "thinking" => {
                add(events, block.string("thinking")?, Delta::Thinking);
                add(events, block.string("signature")?, Delta::Signature);
            }
            "redacted_thinking" => add(events, block.string("data")?, Delta::RedactedThinking),
            "tool_use" => {
                let number = self.calls;
                self.calls += 1;
                let input = block.object("input")?.map(Fields::rest).unwrap_or_default();
                kept = Block::Call { number, input: Some(Value::from(input).to_string()) };
                let call = ToolCall {
                    id: block.required_string("id")?,
                    name: block.required_string("name")?,
                    arguments: String::new(),
                    signature: block.string("signature")?,
                };
                push(events, Delta::ToolCallStart { index: number, call });
            }
            _ => {}
        }
        self.blocks.insert(index, kept);
        Ok(())
    }

    fn grow(&mut self, data: &mut Fields, events: &mut Vec<Event>) -> Result<(), TranslateError> {
        let index = index(data)?;
        let mut delta = data.required_object("delta")?;
        match delta.required_string("type")?.as_str() {
            "text_delta" => add(events, delta.string("text")?, Delta::Text),
            "thinking_delta" => add(events, delta.string("thinking")?, Delta::Thinking),
            "signature_delta" => add(events, delta.string("signature")?, Delta::Signature),
            "input_json_delta" => {
                let text = delta.string("partial_json")?.unwrap_or_default();
                match self.blocks.get_mut(&index) {
                    None => return Err(data.error("index", "is of a block that has not begun.")),
                    Some(Block::Call { number, input }) if !text.is_empty() => {
                        *input = None;
                        push(events, Delta::ToolArguments { index: *number, text });
                    }
                    Some(_) => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, data: &mut Fields, events: &mut Vec<Event>) -> Result<(), TranslateError> {
        if let Some(Block::Call { number, input: Some(text) }) = self.blocks.remove(&index(data)?) {
            push(events, Delta::ToolArguments { index: number, text });
        }
        Ok(())
    }

    fn finish(&mut self, data: &mut Fields, events: &mut Vec<Event>) -> Result<(), TranslateError> {
        if let Some(mut delta) = data.object("delta")? {
            let sequence = delta.string("stop_sequence")?;
            if let Some(reason) = delta.string("stop_reason")? {
                events.push(Event::Finish { choice: 0, finish: stop::read(reason, sequence) });
            }
        }
        self.count(data, events)
    }

    fn fail(&mut self, data: &mut Fields, events: &mut Vec<Event>) -> Result<(), TranslateError> {
        let mut error = data.required_object("error")?;
        self.is_done = true;
        events.push(Event::Error(StreamError {
            kind: error.string("type")?.unwrap_or_default(),
            code: None,
            message: error.string("message")?.unwrap_or_default(),
        }));
        Ok(())
    }
}

fn index(data: &mut Fields) -> Result<u64, TranslateError> {
    data.unsigned("index")?.ok_or_else(|| data.error("index", "is required."))
}

fn add(events: &mut Vec<Event>, text: Option<String>, delta: impl Fn(String) -> Delta) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        push(events, delta(text));
    }
}

fn push(events: &mut Vec<Event>, delta: Delta) {
    events.push(Event::Delta { choice: 0, delta });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decode(reader: &mut StreamReader, data: Value) -> Result<Vec<Event>, TranslateError> {
        reader.decode(&sse::Event::new(None, data.to_string()))
    }

    fn begin(block: Value) -> Value {
        json!({"type": "content_block_start", "index": 0, "content_block": block})
    }

    #[test]
    fn an_input_told_at_the_beginning_counts_if_nothing_follows() {
        for (input, expected) in [(json!({}), "{}"), (json!({"a": 1}), r#"{"a":1}"#)] {
            let mut reader = StreamReader::default();
            decode(&mut reader, begin(json!({"type": "tool_use", "id": "a", "name": "f", "input": input}))).unwrap();

            let events = decode(&mut reader, json!({"type": "content_block_stop", "index": 0})).unwrap();

            let delta = Delta::ToolArguments { index: 0, text: expected.into() };
            assert_eq!(events, [Event::Delta { choice: 0, delta }]);
        }
    }

    #[test]
    fn counts_left_out_later_are_kept() {
        let mut reader = StreamReader::default();
        let usage = json!({"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1});
        decode(&mut reader, json!({"type": "message_start", "message": {"id": "m", "usage": usage}})).unwrap();

        let delta = json!({"type": "message_delta", "delta": {}, "usage": {"input_tokens": 0, "output_tokens": 9}});
        let events = decode(&mut reader, delta).unwrap();

        let expected = crate::pivot::Usage { input: 7, output: 9, cached: 4, ..Default::default() };
        assert_eq!(events, [Event::Usage(expected)]);
    }

    #[test]
    fn what_anthropics_own_tools_do_is_no_call() {
        let mut reader = StreamReader::default();
        let delta = json!({"type": "input_json_delta", "partial_json": "{"});

        for data in [
            json!({"type": "ping"}),
            json!({"type": "new_event", "index": "x"}),
            begin(json!({"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}})),
            json!({"type": "content_block_delta", "index": 0, "delta": delta}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {}}}),
            json!({"type": "content_block_stop", "index": 0}),
        ] {
            assert_eq!(decode(&mut reader, data).unwrap(), []);
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        let delta = json!({"type": "input_json_delta", "partial_json": "{"});
        for data in [
            json!({}),
            json!([]),
            json!({"type": "message_start"}),
            json!({"type": "content_block_start", "content_block": {"type": "text"}}),
            json!({"type": "content_block_delta", "index": 7, "delta": delta}),
        ] {
            assert!(decode(&mut StreamReader::default(), data).is_err());
        }
    }

    #[test]
    fn an_error_ends_the_stream() {
        let error = json!({"type": "overloaded_error", "message": "Overloaded"});
        for data in [json!({"type": "error", "error": error}), json!({"error": error})] {
            let mut reader = StreamReader::default();

            let events = decode(&mut reader, data).unwrap();

            let error = StreamError { kind: "overloaded_error".into(), code: None, message: "Overloaded".into() };
            assert_eq!(events, [Event::Error(error)]);
            assert_eq!(decode(&mut reader, json!({"type": "message_stop"})).unwrap(), []);
        }
    }
}
