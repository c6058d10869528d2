//! What has been seen of an answer so far, in whatever dialect it came.

use crate::failure::UpstreamError;
use domain::Usage;
use wire::pivot::{Answer, Delta, Event, Finish};

/// Bytes of text that count as a token where an event has many.
const BYTES_PER_TOKEN: usize = 8;

/// What has been seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) usage: Option<Usage>,
    pub(crate) finish: Option<String>,
    /// The end marker came.
    pub(crate) is_done: bool,
    pub(crate) error: Option<UpstreamError>,
    /// Something came that a person could read, or the end.
    pub(crate) has_content: bool,
    /// Generated tokens so far, guessed.
    pub(crate) tokens: u64,
}

impl Seen {
    /// Notes text of `bytes` bytes.
    pub(super) fn saw_text(&mut self, bytes: usize) {
        if bytes > 0 {
            self.has_content = true;
            self.tokens += (bytes / BYTES_PER_TOKEN).max(1) as u64;
        }
    }

    pub(super) fn saw_finish(&mut self, finish: &str) {
        self.has_content = true;
        self.finish = Some(finish.to_owned());
    }

    pub(super) fn saw_end(&mut self) {
        self.has_content = true;
        self.is_done = true;
    }

    /// What a translated whole answer says.
    pub(crate) fn of_answer(answer: &Answer) -> Self {
        let finish = answer.choices.iter().find_map(|choice| choice.finish.as_ref());
        Self {
            usage: answer.usage.map(to_usage),
            finish: finish.map(|finish| finish_word(finish).to_owned()),
            ..Self::default()
        }
    }

    /// Notes a step of a translated stream.
    pub(super) fn note(&mut self, step: &Event) {
        match step {
            Event::Delta { delta, .. } => self.saw_text(text_bytes(delta)),
            Event::Finish { finish, .. } => self.saw_finish(finish_word(finish)),
            Event::Usage(usage) => self.usage = Some(to_usage(*usage)),
            Event::Done => self.saw_end(),
            Event::Start { .. } | Event::Error(_) => {}
        }
    }
}

fn text_bytes(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) | Delta::Thinking(text) | Delta::Refusal(text) | Delta::ToolArguments { text, .. } => {
            text.len()
        }
        Delta::ToolCallStart { call, .. } => call.name.len() + call.arguments.len(),
        Delta::Signature(_) | Delta::RedactedThinking(_) | Delta::Logprobs(_) => 0,
    }
}

/// The word for it in chat completions.
fn finish_word(finish: &Finish) -> &str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) | Finish::Pause | Finish::Refusal => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
        Finish::Other(word) => word,
    }
}

fn to_usage(usage: wire::pivot::Usage) -> Usage {
    Usage {
        input: usage.input,
        output: usage.output,
        cached: usage.cached,
        cache_write: usage.cache_write,
        reasoning: usage.reasoning,
    }
}
