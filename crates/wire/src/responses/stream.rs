//! Streams: items one after the other, each announced, filled and closed before the next, all within one response.

use super::{
    echo::Echo,
    items::{self, COMPLETED, INCOMPLETE},
    open_item::{Body, OpenItem},
    response::{self, Head, Standing},
    sealed::Sealed,
};
use crate::{
    pivot::{Delta, Encode, Event, Finish, StreamError, ToolCall, Usage},
    sse,
};
use serde_json::{Map, Value, json};

/// Writes the stream that answers a request. There is no end marker but the last event, which holds the whole answer.
#[derive(Debug)]
pub struct StreamWriter {
    echo: Echo,
    head: Option<Head>,
    out: Emitter,
    // The items that are done.
    output: Vec<Value>,
    open: Option<OpenItem>,
    declined: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
    // Logprobs that came before their text.
    early_tokens: Vec<Value>,
    has_ended: bool,
}

/// Numbers the events and puts them aside.
#[derive(Debug, Default)]
pub(super) struct Emitter {
    count: u64,
    events: Vec<sse::Event<'static>>,
}

impl Emitter {
    pub(super) fn emit(&mut self, kind: &str, fields: Value) {
        let event = items::with(json!({ "type": kind, "sequence_number": self.count }), fields);
        self.count += 1;
        self.events.push(sse::Event::new(Some(kind.to_owned()), event.to_string()));
    }
}

impl StreamWriter {
    /// A writer of the answer to the request that `echo` was read from.
    #[must_use]
    pub fn new(echo: Echo) -> Self {
        Self {
            echo,
            head: None,
            out: Emitter::default(),
            output: Vec::new(),
            open: None,
            declined: false,
            finish: None,
            usage: None,
            early_tokens: Vec::new(),
            has_ended: false,
        }
    }

    fn start(&mut self, head: Head) {
        if self.head.is_some() {
            return;
        }
        self.head = Some(head);
        for kind in ["response.created", "response.in_progress"] {
            self.emit_response(kind, &Standing::InProgress);
        }
    }

    fn emit_response(&mut self, kind: &str, standing: &Standing) {
        let nobody = Head::default();
        let head = self.head.as_ref().unwrap_or(&nobody);
        // What is open at a failure is told as far as it got.
        let cut = self.open.as_ref().map(|item| item.write(INCOMPLETE));
        let output: Vec<_> = self.output.iter().cloned().chain(cut).collect();
        let response = response::write(&self.echo, head, standing, &output, self.usage.as_ref(), &Map::new());
        self.out.emit(kind, json!({ "response": response }));
    }

    fn add(&mut self, delta: Delta) {
        match delta {
            Delta::Text(text) if text.is_empty() => {}
            Delta::Text(text) => {
                let tokens = std::mem::take(&mut self.early_tokens);
                self.with_message(|item, out| item.add_text(&text, tokens, out));
            }
            Delta::Logprobs(logprobs) => self.add_tokens(items::tokens(logprobs)),
            Delta::Refusal(text) if text.is_empty() => {}
            Delta::Refusal(text) => {
                self.declined = true;
                self.with_message(|item, out| item.add_refusal(&text, out));
            }
            Delta::Thinking(text) if text.is_empty() => {}
            Delta::Thinking(text) => self.add_reasoning(&text),
            Delta::Signature(signature) => self.seal(Sealed::Signature(signature)),
            Delta::RedactedThinking(secret) => {
                self.close(COMPLETED);
                self.seal(Sealed::Redacted(secret));
            }
            Delta::ToolCallStart { index, call } => self.start_call(index, call),
            Delta::ToolArguments { index, text } => self.add_arguments(index, &text),
        }
    }

    fn with_message(&mut self, add: impl FnOnce(&mut OpenItem, &mut Emitter)) {
        if !matches!(self.open, Some(OpenItem { body: Body::Message { .. }, .. })) {
            self.open(Body::Message { parts: Vec::new(), open: None });
        }
        if let Some(item) = &mut self.open {
            add(item, &mut self.out);
        }
    }

    /// Logprobs belong to an event that adds text; the text may have gone already, and may be empty then.
    fn add_tokens(&mut self, tokens: Vec<Value>) {
        match &mut self.open {
            Some(item) if item.has_open_text() && !tokens.is_empty() => item.add_text("", tokens, &mut self.out),
            _ => self.early_tokens.extend(tokens),
        }
    }

    fn add_reasoning(&mut self, text: &str) {
        if !matches!(self.open, Some(OpenItem { body: Body::Reasoning { .. }, .. })) {
            let as_summary = self.echo.wants_summary;
            self.open(Body::Reasoning { text: String::new(), as_summary, sealed: None });
        }
        if let Some(item) = &mut self.open {
            item.add_reasoning(text, &mut self.out);
        }
    }

    /// Ends the reasoning that is open with what seals it; if none is, the seal is an item of its own.
    fn seal(&mut self, seal: Sealed) {
        match &mut self.open {
            Some(OpenItem { body: Body::Reasoning { sealed, .. }, .. }) => *sealed = Some(seal),
            _ => self.open(Body::Reasoning { text: String::new(), as_summary: false, sealed: Some(seal) }),
        }
        self.close(COMPLETED);
    }

    fn start_call(&mut self, number: u64, mut call: ToolCall) {
        self.close(COMPLETED);
        if let Some(signature) = call.signature.take() {
            self.seal(Sealed::Call(signature));
        }
        let arguments = std::mem::take(&mut call.arguments);
        self.open(Body::Call { number, call });
        self.add_arguments(number, &arguments);
    }

    fn add_arguments(&mut self, index: u64, text: &str) {
        match &mut self.open {
            _ if text.is_empty() => {}
            Some(item) if matches!(item.body, Body::Call { number, .. } if number == index) => {
                item.add_arguments(text, &mut self.out);
            }
            // Half the arguments would look like all of them.
            _ => self.fail(StreamError {
                kind: "server_error".into(),
                code: None,
                message: "The provider went on with a tool call after its end.".into(),
            }),
        }
    }

    fn open(&mut self, body: Body) {
        self.close(COMPLETED);
        let answer_id = self.head.as_ref().map(|head| head.id.as_str()).unwrap_or_default();
        self.open = Some(OpenItem::open(answer_id, self.output.len(), body, &mut self.out));
    }

    fn close(&mut self, status: &str) {
        if let Some(item) = self.open.take() {
            self.output.push(item.close(status, &mut self.out));
        }
    }

    fn standing(&self) -> Standing {
        Standing::of(self.finish.as_ref(), self.declined)
    }

    fn finish(&mut self, finish: Finish) {
        self.finish = Some(finish);
        let is_cut = matches!(self.standing(), Standing::Incomplete(_));
        self.close(if is_cut { INCOMPLETE } else { COMPLETED });
    }

    fn end(&mut self) {
        self.close(COMPLETED);
        let standing = self.standing();
        self.emit_response(&format!("response.{}", standing.status()), &standing);
        self.has_ended = true;
    }

    fn fail(&mut self, error: StreamError) {
        let code = error.code.as_ref().unwrap_or(&error.kind);
        let nested = json!({ "type": error.kind, "code": code, "message": error.message, "param": null });
        // OpenAI documents the flat form and sends the nested one; its Python client raises only on the nested one.
        let event = json!({ "code": code, "message": error.message, "param": null, "error": nested });
        self.out.emit("error", event);
        self.emit_response("response.failed", &Standing::Failed(error));
        self.has_ended = true;
    }
}

impl Encode for StreamWriter {
    fn encode(&mut self, event: Event) -> Vec<sse::Event<'static>> {
        if self.has_ended {
            return Vec::new();
        }
        if !matches!(event, Event::Start { .. }) {
            // Clients want to know the response before anything else about it, even before that it failed.
            self.start(Head { id: "unknown".into(), ..Head::default() });
        }
        match event {
            Event::Start { id, model, created } => self.start(Head { id, model, created }),
            // The dialect has one choice, and its requests can't ask for more.
            Event::Delta { choice: 0, delta } => self.add(delta),
            Event::Finish { choice: 0, finish } => self.finish(finish),
            Event::Delta { .. } | Event::Finish { .. } => {}
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Done => self.end(),
            Event::Error(error) => self.fail(error),
        }
        std::mem::take(&mut self.out.events)
    }
}
