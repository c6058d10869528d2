//! Watches an event stream that passes through, or turns it into another dialect's: usage, finish reason, end marker, errors
//! among the events. Bytes of the same dialect are handed on as they are, cut only between events.

mod familiar;
mod grammar;
mod seen;
mod whole;

pub(crate) use seen::Seen;
pub(crate) use whole::read_whole;

use crate::{Progress, failure::UpstreamError};
use bytes::{Bytes, BytesMut};
use familiar::Familiar;
use grammar::Judgement;
use std::fmt;
use wire::{
    pivot::{self, Decode, Encode},
    sse::{Decoder, Event, SseError},
};

const MAX_EVENT_BYTES: usize = 16 << 20;

/// How the events are to be read.
pub(crate) enum Grammar {
    /// Chunks of OpenAI's chat or text completions. Unless `shows_usage`, the chunk that only tells usage is kept back.
    Chunks { shows_usage: bool, familiar: Familiar },
    /// Anthropic's named events.
    Messages,
    /// The typed events of OpenAI's responses.
    Responses,
    /// Another dialect than the caller's.
    Translated { from: Box<dyn Decode>, to: Box<dyn Encode> },
}

impl Grammar {
    /// The grammar of chunks.
    pub(crate) fn chunks(shows_usage: bool) -> Self {
        Self::Chunks { shows_usage, familiar: Familiar::default() }
    }
}

/// The reader of one stream.
pub(crate) struct Reading {
    pub(crate) seen: Seen,
    grammar: Grammar,
    decoder: Decoder,
    held: BytesMut,
    progress: Progress,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Reading {
    pub(crate) fn new(grammar: Grammar) -> Self {
        Self {
            seen: Seen::default(),
            grammar,
            decoder: Decoder::new(MAX_EVENT_BYTES),
            held: BytesMut::new(),
            progress: Progress::default(),
        }
    }

    /// Tells of the tokens handed on.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Whether nothing more is to be read.
    pub(crate) fn is_over(&self) -> bool {
        self.seen.is_done || self.seen.error.is_some()
    }

    /// Takes what came and gives what may be handed on: whole events, up to the end marker or the first error.
    pub(crate) fn feed(&mut self, bytes: Bytes) -> Result<Bytes, SseError> {
        if self.is_over() {
            return Ok(Bytes::new());
        }
        let events = self.decoder.feed(&bytes)?;
        let out = match &mut self.grammar {
            Grammar::Translated { from, to } => {
                self.held.clear();
                translate(&events, from.as_mut(), to.as_mut(), &mut self.seen)
            }
            grammar => {
                let kept = judge(&events, grammar, &mut self.seen);
                match kept {
                    None => self.cut(&bytes),
                    Some(kept) => {
                        let tail = bytes.slice(self.decoder.boundary()..);
                        self.held.clear();
                        self.held.extend_from_slice(&tail);
                        kept
                    }
                }
            }
        };
        self.progress.set(self.seen.tokens);
        Ok(out)
    }

    /// The bytes of the events that have ended; the rest is held until its event ends too.
    fn cut(&mut self, bytes: &Bytes) -> Bytes {
        let boundary = self.decoder.boundary();
        if boundary == 0 {
            self.held.extend_from_slice(bytes);
            return Bytes::new();
        }
        let whole = bytes.slice(..boundary);
        let whole = if self.held.is_empty() {
            whole
        } else {
            self.held.extend_from_slice(&whole);
            self.held.split().freeze()
        };
        self.held.extend_from_slice(&bytes[boundary..]);
        whole
    }
}

/// Reads events. `None` when all of them may pass as they are, else those that may, written anew.
fn judge(events: &[Event], grammar: &mut Grammar, seen: &mut Seen) -> Option<Bytes> {
    let mut kept: Option<BytesMut> = None;
    for (index, event) in events.iter().enumerate() {
        let judgement = grammar::read(grammar, event, seen);
        if judgement != Judgement::Pass && kept.is_none() {
            kept = Some(events[..index].iter().flat_map(Event::encode).collect());
        }
        match judgement {
            Judgement::Pass => {
                if let Some(kept) = &mut kept {
                    kept.extend_from_slice(&event.encode());
                }
            }
            Judgement::Withhold => {}
            Judgement::Stop => break,
        }
        if seen.is_done {
            // Bytes after the end marker are nobody's.
            return (index + 1 < events.len() || kept.is_some())
                .then(|| kept.unwrap_or_else(|| events[..=index].iter().flat_map(Event::encode).collect()).freeze());
        }
    }
    kept.map(BytesMut::freeze)
}

fn translate(events: &[Event], from: &mut dyn Decode, to: &mut dyn Encode, seen: &mut Seen) -> Bytes {
    let mut out = BytesMut::new();
    for event in events {
        let steps = match from.decode(event) {
            Ok(steps) => steps,
            Err(error) => {
                seen.error = Some(UpstreamError::malformed(&error.message));
                break;
            }
        };
        for step in steps {
            if let pivot::Event::Error(error) = step {
                seen.error = Some(error.into());
                return out.freeze();
            }
            seen.note(&step);
            out.extend(to.encode(step).iter().flat_map(Event::encode));
        }
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Usage;
    use proptest::prelude::*;

    const STREAM: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":null}]}\n\n",
        ": ping\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":17,\"completion_tokens\":3}}\n\n",
        "data: [DONE]\n\n"
    );
    const BROKEN: &str =
        "data: {\"a\":1}\n\ndata: {\"error\": {\"message\": \"m\", \"code\": 500}}\n\ndata: [DONE]\n\n";

    fn read(text: &str, shows_usage: bool, cuts: &[prop::sample::Index]) -> (String, Reading) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let mut reading = Reading::new(Grammar::chunks(shows_usage));
        let mut out = Vec::new();
        for cut in cuts.windows(2) {
            out.extend(reading.feed(Bytes::copy_from_slice(&text.as_bytes()[cut[0]..cut[1]])).unwrap());
        }
        (String::from_utf8(out).unwrap(), reading)
    }

    proptest! {
        #[test]
        fn a_stream_passes_unchanged_however_it_is_split(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let (out, reading) = read(STREAM, true, &cuts);

            prop_assert_eq!(out, STREAM);
            prop_assert_eq!(reading.seen.usage, Some(Usage { input: 17, output: 3, ..Usage::default() }));
            prop_assert_eq!(reading.seen.finish.as_deref(), Some("length"));
            prop_assert!(reading.seen.is_done && reading.seen.has_content);
            prop_assert_eq!(reading.progress().tokens(), 1);
        }

        #[test]
        fn usage_that_was_not_asked_for_is_read_and_kept_back(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let (out, reading) = read(STREAM, false, &cuts);

            prop_assert!(!out.contains("prompt_tokens") && out.ends_with("data: [DONE]\n\n"), "{}", out);
            prop_assert!(out.contains("\"length\"") && reading.seen.usage.is_some());
        }

        #[test]
        fn nothing_passes_from_an_error_on(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let (out, reading) = read(BROKEN, true, &cuts);

            prop_assert_eq!(out, "data: {\"a\":1}\n\n");
            prop_assert_eq!(reading.seen.error.unwrap().message, "m");
            prop_assert!(!reading.seen.is_done);
        }

        #[test]
        fn nothing_passes_from_a_malformed_chunk_on(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let (out, reading) = read("data: {\"a\":1}\n\ndata: {torn\n\ndata: {\"a\":2}\n\n", true, &cuts);

            prop_assert_eq!(out, "data: {\"a\":1}\n\n");
            prop_assert!(reading.seen.error.is_some());
        }
    }
}
