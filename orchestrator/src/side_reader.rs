//! Watches an event stream that passes through: usage, finish reason, end marker, and errors among the events.
//! The bytes themselves are handed on as they are, cut only between events.

use crate::failure::UpstreamError;
use bytes::{Bytes, BytesMut};
use domain::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use wire::{
    sse::{Decoder, Event, SseError},
    usage::WireUsage,
};

const MAX_EVENT_BYTES: usize = 16 << 20;

/// What has been seen of an answer so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) usage: Option<Usage>,
    pub(crate) finish: Option<String>,
    pub(crate) is_done: bool,
    pub(crate) error: Option<UpstreamError>,
    /// Whether any event came at all.
    pub(crate) has_events: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

impl Seen {
    /// Reads a whole answer or one chunk of a stream. False when it is no JSON object.
    pub(crate) fn read(&mut self, text: &str) -> bool {
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(text) else { return false };
        // The last one counts: some servers put running totals on every chunk.
        if let Some(usage) = chunk.usage.and_then(|raw| serde_json::from_str::<WireUsage>(raw.get()).ok()) {
            self.usage = Some(to_usage(usage));
        }
        if let Some(finish) = chunk.choices.into_iter().flatten().find_map(|choice| choice.finish_reason) {
            self.finish = Some(finish.into_owned());
        }
        if let Some(error) = chunk.error {
            let value = serde_json::from_str(error.get()).unwrap_or_default();
            self.error = Some(UpstreamError::from_value(&value));
        }
        true
    }
}

fn to_usage(usage: WireUsage) -> Usage {
    Usage { input: usage.input, output: usage.output, cached: usage.cached, reasoning: usage.reasoning }
}

/// The reader beside a stream.
#[derive(Debug)]
pub(crate) struct SideReader {
    pub(crate) seen: Seen,
    decoder: Decoder,
    held: BytesMut,
}

impl SideReader {
    pub(crate) fn new() -> Self {
        Self { seen: Seen::default(), decoder: Decoder::new(MAX_EVENT_BYTES), held: BytesMut::new() }
    }

    /// Takes what came and gives what may be handed on: whole events, up to the end marker or the first error.
    pub(crate) fn feed(&mut self, bytes: Bytes) -> Result<Bytes, SseError> {
        if self.seen.is_done || self.seen.error.is_some() {
            return Ok(Bytes::new());
        }
        let events = self.decoder.feed(&bytes)?;
        let good = self.read_events(&events);
        if good < events.len() {
            return Ok(events[..good].iter().flat_map(|event| event.encode()).collect());
        }
        let boundary = self.decoder.boundary();
        if boundary == 0 {
            self.held.extend_from_slice(&bytes);
            return Ok(Bytes::new());
        }
        let rest = bytes.slice(boundary..);
        let whole = bytes.slice(..boundary);
        let whole = if self.held.is_empty() {
            whole
        } else {
            self.held.extend_from_slice(&whole);
            self.held.split().freeze()
        };
        self.held.extend_from_slice(&rest);
        Ok(whole)
    }

    /// Reads events; gives how many of them come before an error.
    fn read_events(&mut self, events: &[Event]) -> usize {
        for (index, event) in events.iter().enumerate() {
            self.seen.has_events = true;
            if event.data == "[DONE]" {
                self.seen.is_done = true;
                return index + 1;
            }
            self.seen.read(&event.data);
            if self.seen.error.is_some() {
                return index;
            }
        }
        events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":null}]}\n\n",
        ": ping\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":17,\"completion_tokens\":3}}\n\n",
        "data: [DONE]\n\n"
    );
    const BROKEN: &str =
        "data: {\"a\":1}\n\ndata: {\"error\": {\"message\": \"m\", \"code\": 500}}\n\ndata: [DONE]\n\n";

    fn read(text: &str, cuts: &[prop::sample::Index]) -> (String, SideReader) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let mut reader = SideReader::new();
        let mut out = Vec::new();
        for cut in cuts.windows(2) {
            out.extend(reader.feed(Bytes::copy_from_slice(&text.as_bytes()[cut[0]..cut[1]])).unwrap());
        }
        (String::from_utf8(out).unwrap(), reader)
    }

    proptest! {
        #[test]
        fn a_stream_passes_unchanged_however_it_is_split(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let (out, reader) = read(STREAM, &cuts);

            prop_assert_eq!(out, STREAM);
            prop_assert_eq!(reader.seen.usage, Some(Usage { input: 17, output: 3, ..Usage::default() }));
            prop_assert_eq!(reader.seen.finish.as_deref(), Some("length"));
            prop_assert!(reader.seen.is_done);
        }

        #[test]
        fn nothing_passes_from_an_error_on(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let (out, reader) = read(BROKEN, &cuts);

            prop_assert_eq!(out, "data: {\"a\":1}\n\n");
            prop_assert_eq!(reader.seen.error.unwrap().message, "m");
            prop_assert!(!reader.seen.is_done);
        }
    }
}
