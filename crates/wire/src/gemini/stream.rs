//! The stream of `:streamGenerateContent?alt=sse`: each event is a small answer, and none says that it is the last.

use super::{
    error::read_error,
    response::{Candidate, FunctionCall, LogprobsResult, Response, ResponsePart, read_finish, unreadable},
};
use crate::{
    pivot::{Decode, Delta, Event, Finish, ToolCall, TranslateError},
    sse,
};
use std::collections::BTreeMap;

/// Reads a stream.
///
/// Gemini sends no end marker. The stream is complete, and gives [`Event::Done`], once every candidate has told its
/// `finishReason` and an event with the last of them, or after it, has told the token counts (the counts of events
/// before are absent or partial). A prompt that was blocked ends the stream at once. Nothing else does: a stream
/// without a reason, or without counts after it, was cut. What follows the end is ignored.
///
/// What only whole answers have room for is lost: citations, grounding, code that Google ran, and the signatures of
/// texts, which Gemini does not insist on. Media, which would be the answer itself, is an error.
#[derive(Debug)]
pub struct StreamReader {
    candidates: usize,
    choices: BTreeMap<u64, ChoiceState>,
    id: Option<String>,
    is_done: bool,
}

#[derive(Debug, Default)]
struct ChoiceState {
    calls: u64,
    is_finished: bool,
}

impl Default for StreamReader {
    fn default() -> Self {
        Self::new(1)
    }
}

impl StreamReader {
    /// A reader of a stream with this many candidates, the request's `n`.
    #[must_use]
    pub fn new(candidates: u64) -> Self {
        Self {
            candidates: usize::try_from(candidates).unwrap_or(usize::MAX).max(1),
            choices: BTreeMap::new(),
            id: None,
            is_done: false,
        }
    }

    fn start(&mut self, response: &Response) -> Option<Event> {
        if self.id.is_some() {
            return None;
        }
        let id = response.response_id.clone().unwrap_or_default();
        self.id = Some(id.clone());
        Some(Event::Start {
            id,
            model: response.model_version.clone().unwrap_or_default(),
            created: response.created(),
        })
    }

    fn read_candidate(&mut self, mut candidate: Candidate, events: &mut Vec<Event>) -> Result<(), TranslateError> {
        let choice = candidate.index();
        let id = self.id.as_deref().unwrap_or_default();
        let state = self.choices.entry(choice).or_default();
        let mut deltas = Vec::new();
        for part in candidate.take_parts() {
            read_part(part, &mut deltas, |call| {
                let number = state.calls;
                state.calls += 1;
                (number, call.id(id, choice, number))
            })?;
        }
        deltas.extend(candidate.logprobs_result.map(LogprobsResult::write).map(Delta::Logprobs));
        if state.is_finished && !deltas.is_empty() {
            return Err(unreadable("a candidate goes on after its end"));
        }
        events.extend(deltas.into_iter().map(|delta| Event::Delta { choice, delta }));
        let finish = candidate.finish_reason.as_deref().and_then(|reason| read_finish(reason, state.calls > 0));
        if let Some(finish) = finish.filter(|_| !state.is_finished) {
            state.is_finished = true;
            events.push(Event::Finish { choice, finish });
        }
        Ok(())
    }

    fn all_finished(&self) -> bool {
        self.choices.len() >= self.candidates && self.choices.values().all(|choice| choice.is_finished)
    }
}

impl Decode for StreamReader {
    fn decode(&mut self, event: &sse::Event) -> Result<Vec<Event>, TranslateError> {
        if self.is_done || event.data.is_empty() {
            return Ok(Vec::new());
        }
        let json = event.data.as_bytes();
        let response = Response::read(json);
        let may_be_error = response.as_ref().map_or(true, |response| response.rest.contains_key("error"));
        if let Some(failure) = may_be_error.then(|| read_error(json)).flatten() {
            self.is_done = true;
            return Ok(vec![Event::Error(failure.into())]);
        }
        let mut response = response?;
        let mut events: Vec<_> = self.start(&response).into_iter().collect();
        let candidates = response.take_candidates();
        let is_blocked = candidates.is_empty() && self.choices.is_empty() && response.is_blocked();
        if is_blocked {
            events.push(Event::Finish { choice: 0, finish: Finish::ContentFilter });
        }
        for candidate in candidates {
            self.read_candidate(candidate, &mut events)?;
        }
        let usage = response.usage_metadata.and_then(|usage| usage.read());
        self.is_done = is_blocked || (usage.is_some() && self.all_finished());
        events.extend(usage.map(Event::Usage));
        if self.is_done {
            events.push(Event::Done);
        }
        Ok(events)
    }
}

fn read_part(
    part: ResponsePart,
    deltas: &mut Vec<Delta>,
    name: impl FnOnce(&FunctionCall) -> (u64, String),
) -> Result<(), TranslateError> {
    if let Some(mut call) = part.function_call {
        let (index, id) = name(&call);
        let arguments = call.arguments()?;
        let call = ToolCall { id, name: call.name, arguments, signature: part.thought_signature };
        deltas.push(Delta::ToolCallStart { index, call });
        return Ok(());
    }
    if part.inline_data.is_some() {
        return Err(unreadable("media amid a stream can't be told"));
    }
    let text = part.text.filter(|text| !text.is_empty());
    if part.thought == Some(true) {
        deltas.extend(text.map(Delta::Thinking));
        deltas.extend(part.thought_signature.map(Delta::Signature));
    } else {
        deltas.extend(text.map(Delta::Text));
    }
    Ok(())
}
