//! The item a stream is in the middle of, and the events that open, fill and close it.

use super::{
    items::{self, IN_PROGRESS},
    sealed::Sealed,
    stream::Emitter,
};
use crate::pivot::ToolCall;
use serde_json::{Value, json};

/// An item that is not done.
#[derive(Debug)]
pub(super) struct OpenItem {
    pub(super) id: String,
    pub(super) output_index: usize,
    pub(super) body: Body,
}

/// What is in it so far.
#[derive(Debug)]
pub(super) enum Body {
    /// Its parts that are done, and the one that is not.
    Message {
        parts: Vec<Value>,
        open: Option<Piece>,
    },
    Reasoning {
        text: String,
        as_summary: bool,
        sealed: Option<Sealed>,
    },
    Call {
        number: u64,
        call: ToolCall,
    },
}

/// The part a message is in the middle of.
#[derive(Debug)]
pub(super) enum Piece {
    Text { text: String, logprobs: Vec<Value> },
    Refusal { text: String },
}

impl OpenItem {
    /// Announces the item.
    pub(super) fn open(answer_id: &str, output_index: usize, body: Body, out: &mut Emitter) -> Self {
        let prefix = match body {
            Body::Message { .. } => "msg",
            Body::Reasoning { .. } => "rs",
            Body::Call { .. } => "fc",
        };
        let item = Self { id: items::item_id(prefix, answer_id, output_index), output_index, body };
        let event = json!({ "output_index": output_index, "item": item.write(IN_PROGRESS) });
        out.emit("response.output_item.added", event);
        if let Body::Reasoning { as_summary, sealed: None, .. } = item.body {
            item.emit_reasoning_part("added", "", as_summary, out);
        }
        item
    }

    pub(super) fn has_open_text(&self) -> bool {
        matches!(self.body, Body::Message { open: Some(Piece::Text { .. }), .. })
    }

    pub(super) fn add_text(&mut self, added: &str, tokens: Vec<Value>, out: &mut Emitter) {
        if !self.has_open_text() {
            self.begin(Piece::Text { text: String::new(), logprobs: Vec::new() }, out);
        }
        let event = self.at_part(json!({ "delta": added, "logprobs": tokens }));
        out.emit("response.output_text.delta", event);
        if let Body::Message { open: Some(Piece::Text { text, logprobs }), .. } = &mut self.body {
            text.push_str(added);
            logprobs.extend(tokens);
        }
    }

    pub(super) fn add_refusal(&mut self, added: &str, out: &mut Emitter) {
        if !matches!(self.body, Body::Message { open: Some(Piece::Refusal { .. }), .. }) {
            self.begin(Piece::Refusal { text: String::new() }, out);
        }
        let event = self.at_part(json!({ "delta": added }));
        out.emit("response.refusal.delta", event);
        if let Body::Message { open: Some(Piece::Refusal { text }), .. } = &mut self.body {
            text.push_str(added);
        }
    }

    pub(super) fn add_reasoning(&mut self, added: &str, out: &mut Emitter) {
        if let Body::Reasoning { text, as_summary, .. } = &mut self.body {
            text.push_str(added);
            let (kind, index) = reasoning_words(*as_summary);
            out.emit(&format!("response.{kind}_text.delta"), self.at(json!({ index: 0, "delta": added })));
        }
    }

    pub(super) fn add_arguments(&mut self, added: &str, out: &mut Emitter) {
        if let Body::Call { call, .. } = &mut self.body {
            call.arguments.push_str(added);
            out.emit("response.function_call_arguments.delta", self.at(json!({ "delta": added })));
        }
    }

    /// Says that the item is done, and gives it.
    pub(super) fn close(mut self, status: &str, out: &mut Emitter) -> Value {
        match &self.body {
            Body::Message { .. } => self.end_piece(out),
            Body::Reasoning { text, as_summary, .. } => {
                if !text.is_empty() {
                    self.end_reasoning(text, *as_summary, out);
                }
            }
            Body::Call { call, .. } => {
                let event = self.at(json!({ "name": call.name, "arguments": call.arguments }));
                out.emit("response.function_call_arguments.done", event);
            }
        }
        let item = self.write(status);
        out.emit("response.output_item.done", json!({ "output_index": self.output_index, "item": item }));
        item
    }

    /// The item as it is now.
    pub(super) fn write(&self, status: &str) -> Value {
        match &self.body {
            Body::Message { parts, open } => {
                let parts: Vec<_> = parts.iter().cloned().chain(open.as_ref().map(Piece::write)).collect();
                items::message(&self.id, status, &parts)
            }
            Body::Reasoning { text, as_summary, sealed } => {
                items::reasoning(&self.id, status, text, *as_summary, sealed.as_ref())
            }
            Body::Call { call, .. } => items::function_call(&self.id, status, call),
        }
    }

    fn begin(&mut self, piece: Piece, out: &mut Emitter) {
        self.end_piece(out);
        let event = self.at_part(json!({ "part": piece.write() }));
        out.emit("response.content_part.added", event);
        if let Body::Message { open, .. } = &mut self.body {
            *open = Some(piece);
        }
    }

    fn end_piece(&mut self, out: &mut Emitter) {
        let Body::Message { open, .. } = &mut self.body else { return };
        let Some(piece) = open.take() else { return };
        let (kind, whole) = match &piece {
            Piece::Text { text, logprobs } => ("output_text", json!({ "text": text, "logprobs": logprobs })),
            Piece::Refusal { text } => ("refusal", json!({ "refusal": text })),
        };
        out.emit(&format!("response.{kind}.done"), self.at_part(whole));
        let part = piece.write();
        out.emit("response.content_part.done", self.at_part(json!({ "part": part })));
        if let Body::Message { parts, .. } = &mut self.body {
            parts.push(part);
        }
    }

    fn end_reasoning(&self, text: &str, as_summary: bool, out: &mut Emitter) {
        let (kind, index) = reasoning_words(as_summary);
        out.emit(&format!("response.{kind}_text.done"), self.at(json!({ index: 0, "text": text })));
        self.emit_reasoning_part("done", text, as_summary, out);
    }

    fn emit_reasoning_part(&self, verb: &str, text: &str, as_summary: bool, out: &mut Emitter) {
        let (_, index) = reasoning_words(as_summary);
        let (kind, part) = if as_summary {
            ("reasoning_summary_part", items::summary_text(text))
        } else {
            ("content_part", items::reasoning_text(text))
        };
        out.emit(&format!("response.{kind}.{verb}"), self.at(json!({ index: 0, "part": part })));
    }

    /// Where the item is, and more about it.
    fn at(&self, more: Value) -> Value {
        items::with(json!({ "item_id": self.id, "output_index": self.output_index }), more)
    }

    /// Where the part is that comes after those that are done, and more about it.
    fn at_part(&self, more: Value) -> Value {
        let done = if let Body::Message { parts, .. } = &self.body { parts.len() } else { 0 };
        self.at(items::with(json!({ "content_index": done }), more))
    }
}

impl Piece {
    fn write(&self) -> Value {
        match self {
            Self::Text { text, logprobs } => items::output_text(text, logprobs),
            Self::Refusal { text } => items::refusal(text),
        }
    }
}

fn reasoning_words(as_summary: bool) -> (&'static str, &'static str) {
    if as_summary { ("reasoning_summary", "summary_index") } else { ("reasoning", "content_index") }
}
