//! What one event of a dialect says, as far as truth and accounts need it.

use super::{Familiar, Grammar, Seen};
use crate::failure::UpstreamError;
use domain::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use wire::{sse::Event, usage::WireUsage};

/// What is to be done with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Pass,
    Withhold,
    Stop,
}

pub(super) fn read(grammar: &mut Grammar, event: &Event, seen: &mut Seen) -> Judgement {
    match grammar {
        Grammar::Chunks { shows_usage, familiar } => match familiar.text_bytes(&event.data) {
            Some(bytes) => text(bytes, seen),
            None => chunk(event, *shows_usage, familiar, seen),
        },
        Grammar::Messages => message_event(event, seen),
        Grammar::Responses => response_event(event, seen),
        Grammar::Translated { .. } => Judgement::Stop,
    }
}

/// Fields of a chunk of chat or text completions.
#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(borrow)]
    pub(super) finish_reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
}

impl Choice<'_> {
    /// The text of the answer with its quotes, if the choice says nothing else.
    fn only_text(&self) -> Option<&str> {
        let delta = self.delta.as_ref().filter(|_| self.finish_reason.is_none() && self.text.is_none())?;
        let text = delta.content.map(RawValue::get).filter(|text| text.starts_with('"'))?;
        (delta.text_bytes() == text.len() - 2).then_some(text)
    }
}

impl Delta<'_> {
    /// Bytes of what it adds, about.
    fn text_bytes(&self) -> usize {
        let texts = [self.content, self.reasoning, self.reasoning_content, self.refusal];
        let texts = texts.into_iter().flatten().map(|raw| raw.get().len().saturating_sub(2));
        let calls = [self.tool_calls, self.function_call].into_iter().flatten();
        let calls = calls.filter(|raw| !matches!(raw.get(), "null" | "[]")).map(|_| 1);
        // `null` is longer than an empty text.
        let is_null = |raw: &&RawValue| raw.get() == "null";
        let nulls = [self.content, self.reasoning, self.reasoning_content, self.refusal];
        texts.chain(calls).sum::<usize>() - 2 * nulls.iter().flatten().filter(|raw| is_null(raw)).count()
    }
}

fn text(bytes: usize, seen: &mut Seen) -> Judgement {
    seen.saw_text(bytes);
    Judgement::Pass
}

fn chunk(event: &Event, shows_usage: bool, familiar: &mut Familiar, seen: &mut Seen) -> Judgement {
    if event.data == "[DONE]" {
        seen.saw_end();
        return Judgement::Pass;
    }
    let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(&event.data) else { return malformed(event, seen) };
    if let Some(error) = chunk.error.filter(|raw| raw.get() != "null") {
        return stop(error, seen);
    }
    let usage = chunk.usage.and_then(|raw| serde_json::from_str::<WireUsage>(raw.get()).ok());
    // The last one counts: some servers put running totals on every chunk.
    if let Some(usage) = usage {
        seen.usage = Some(from_wire(usage));
    }
    let choices = chunk.choices.as_deref().unwrap_or_default();
    if let ([choice], None) = (choices, chunk.usage)
        && let Some(text) = choice.only_text()
    {
        familiar.learn(&event.data, text);
    }
    for choice in choices {
        let text = choice.text.as_ref().map_or(0, |text| text.len());
        seen.saw_text(text + choice.delta.as_ref().map_or(0, Delta::text_bytes));
        if let Some(finish) = &choice.finish_reason {
            seen.saw_finish(finish);
        }
    }
    let only_usage = usage.is_some() && chunk.choices.is_some() && choices.is_empty();
    if only_usage && !shows_usage { Judgement::Withhold } else { Judgement::Pass }
}

pub(super) fn from_wire(usage: WireUsage) -> Usage {
    Usage {
        input: usage.input,
        output: usage.output,
        cached: usage.cached,
        cache_write: usage.cache_write,
        reasoning: usage.reasoning,
    }
}

/// Token counts as Anthropic tells them: the prompt without what the cache had.
#[derive(Deserialize, Default)]
pub(super) struct MessagesUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

impl MessagesUsage {
    /// Takes over what it tells; later events leave out what has not changed.
    pub(super) fn add_to(&self, usage: &mut Usage) {
        let before = usage.input.saturating_sub(usage.cached + usage.cache_write);
        let fresh = self.input_tokens.unwrap_or(before);
        usage.cached = self.cache_read_input_tokens.unwrap_or(usage.cached);
        usage.cache_write = self.cache_creation_input_tokens.unwrap_or(usage.cache_write);
        usage.input = fresh + usage.cached + usage.cache_write;
        usage.output = self.output_tokens.unwrap_or(usage.output);
    }
}

#[derive(Deserialize)]
struct MessageEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    message: Option<WithUsage<'a>>,
    #[serde(borrow)]
    delta: Option<MessageDelta<'a>>,
    usage: Option<MessagesUsage>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    content_block: Option<ContentBlock<'a>>,
}

#[derive(Deserialize)]
struct ContentBlock<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct WithUsage<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MessageDelta<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_reason: Option<Cow<'a, str>>,
}

fn message_event(event: &Event, seen: &mut Seen) -> Judgement {
    let Ok(read) = serde_json::from_str::<MessageEvent<'_>>(&event.data) else { return malformed(event, seen) };
    if let (true, Some(error)) = (read.kind == "error", read.error) {
        return stop(error, seen);
    }
    let first = read.message.and_then(|message| message.usage);
    let first = first.and_then(|raw| serde_json::from_str::<MessagesUsage>(raw.get()).ok());
    for usage in [first, read.usage].into_iter().flatten() {
        usage.add_to(seen.usage.get_or_insert_default());
    }
    if let Some(delta) = read.delta {
        let texts = [delta.text, delta.partial_json, delta.thinking];
        seen.saw_text(texts.into_iter().flatten().map(|raw| raw.get().len().saturating_sub(2)).sum());
        if let Some(reason) = delta.stop_reason {
            seen.saw_finish(&reason);
        }
    }
    if let Some(name) = read.content_block.and_then(|block| block.name) {
        seen.saw_text(name.len());
    }
    if read.kind == "message_stop" {
        seen.saw_end();
    }
    Judgement::Pass
}

/// Token counts of responses.
#[derive(Deserialize)]
pub(super) struct ResponsesUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

impl From<ResponsesUsage> for Usage {
    fn from(usage: ResponsesUsage) -> Self {
        Self {
            input: usage.input_tokens.unwrap_or(0),
            output: usage.output_tokens.unwrap_or(0),
            cached: usage.input_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
            reasoning: usage.output_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0),
            cache_write: 0,
        }
    }
}

#[derive(Deserialize)]
struct ResponseEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<ResponseObject<'a>>,
}

/// Fields of a response, whole or amid a stream.
#[derive(Deserialize)]
pub(super) struct ResponseObject<'a> {
    #[serde(borrow)]
    pub(super) status: Option<Cow<'a, str>>,
    pub(super) usage: Option<ResponsesUsage>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

fn response_event(event: &Event, seen: &mut Seen) -> Judgement {
    // vLLM and proxies end this stream, too, with the marker of completions.
    if event.data == "[DONE]" {
        return Judgement::Pass;
    }
    let Ok(read) = serde_json::from_str::<ResponseEvent<'_>>(&event.data) else { return malformed(event, seen) };
    if read.kind.ends_with(".delta") {
        seen.saw_text(read.delta.map_or(0, |raw| raw.get().len().saturating_sub(2)).max(1));
    }
    match (&*read.kind, read.response) {
        ("error", _) => {
            seen.error = Some(UpstreamError::from_value(&serde_json::from_str(&event.data).unwrap_or_default()));
            Judgement::Stop
        }
        ("response.failed", response) => match response.and_then(|response| response.error) {
            Some(error) => stop(error, seen),
            None => {
                seen.error = Some(UpstreamError::default());
                Judgement::Stop
            }
        },
        ("response.completed" | "response.incomplete", response) => {
            if let Some(response) = response {
                seen.usage = response.usage.map(Usage::from);
                seen.finish = response.status.map(Cow::into_owned);
            }
            seen.saw_end();
            Judgement::Pass
        }
        _ => Judgement::Pass,
    }
}

fn stop(error: &RawValue, seen: &mut Seen) -> Judgement {
    seen.error = Some(UpstreamError::from_value(&serde_json::from_str(error.get()).unwrap_or_default()));
    Judgement::Stop
}

fn malformed(event: &Event, seen: &mut Seen) -> Judgement {
    seen.error = Some(UpstreamError::malformed(&event.data));
    Judgement::Stop
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Chunks with a text each.
    const SHAPES: [&str; 5] = [
        r#"{"choices":[{"delta":{"content":"TEXT"},"finish_reason":null}],"usage":null}"#,
        r#"{"choices":[{"delta":{"content":"TEXT","reasoning":"TEXT"}}]}"#,
        r#"{"choices":[{"delta":{"content":"TEXT"},"finish_reason":"TEXT"}]}"#,
        r#"{"choices":[{"delta":{"content":"TEXT","tool_calls":[{"index":0}]}}]}"#,
        r#"{"choices":[{"text":"TEXT"},{"delta":{"content":"TEXT"}}],"usage":{"prompt_tokens":1}}"#,
    ];

    proptest! {
        #[test]
        fn a_familiar_chunk_is_read_as_an_unknown_one(
            chunks in prop::collection::vec((0..SHAPES.len(), r#"[a-zé]{0,3}|["\\\n,}a]{0,3}|\\n|","error":"x"#), 1..12),
        ) {
            let mut knowing = Grammar::chunks(true);
            let (mut known, mut anew) = (Seen::default(), Seen::default());
            for (shape, text) in chunks {
                let event = Event { event: None, data: SHAPES[shape].replace("TEXT", &text).into() };

                let judgement = read(&mut knowing, &event, &mut known);

                prop_assert_eq!(judgement, read(&mut Grammar::chunks(true), &event, &mut anew));
                prop_assert_eq!(format!("{known:?}"), format!("{anew:?}"));
            }
        }
    }

    fn feed(grammar: &mut Grammar, events: &[&str]) -> (Seen, Vec<Judgement>) {
        let mut seen = Seen::default();
        let events = events.iter().map(|data| Event { event: None, data: (*data).into() });
        let judgements = events.map(|event| read(grammar, &event, &mut seen)).collect();
        (seen, judgements)
    }

    #[test]
    fn a_role_alone_is_no_content_and_a_text_is() {
        let mut chunks = Grammar::chunks(true);

        for (data, has_content) in [
            (r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, false),
            (r#"{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":null}}]}"#, false),
            (r#"{"choices":[{"delta":{"content":"x"}}]}"#, true),
            (r#"{"choices":[{"delta":{"content":null,"reasoning":"x"}}]}"#, true),
            (r#"{"choices":[{"delta":{"content":null,"tool_calls":[{"index":0}]}}]}"#, true),
            (r#"{"choices":[{"text":"x"}]}"#, true),
            (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, true),
        ] {
            assert_eq!(feed(&mut chunks, &[data]).0.has_content, has_content, "{data}");
        }
    }

    #[test]
    fn usage_beside_a_choice_is_read_and_passes() {
        let mut chunks = Grammar::chunks(false);
        let data = r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":2,"completion_tokens":1}}"#;

        let (seen, judgements) = feed(&mut chunks, &[data]);

        assert_eq!((seen.usage.unwrap().input, &judgements[..]), (2, &[Judgement::Pass][..]));
    }

    #[test]
    fn the_usage_of_messages_is_gathered_from_both_ends() {
        let (seen, _) = feed(
            &mut Grammar::Messages,
            &[
                r#"{"type":"message_start","message":{"usage":{"input_tokens":3,"cache_read_input_tokens":20,"cache_creation_input_tokens":5,"output_tokens":1}}}"#,
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
                r#"{"type":"message_stop"}"#,
            ],
        );

        assert_eq!(seen.usage, Some(Usage { input: 28, output: 9, cached: 20, cache_write: 5, reasoning: 0 }));
        assert_eq!((seen.finish.as_deref(), seen.is_done), (Some("end_turn"), true));
    }

    #[test]
    fn a_response_that_failed_is_no_end() {
        let (seen, judgements) = feed(
            &mut Grammar::Responses,
            &[
                r#"{"type":"response.created","response":{"status":"in_progress","error":null}}"#,
                r#"{"type":"response.failed","response":{"error":{"code":"server_error","message":"m"}}}"#,
            ],
        );

        assert_eq!(judgements, [Judgement::Pass, Judgement::Stop]);
        assert_eq!((seen.error.unwrap().message.as_str(), seen.is_done, seen.has_content), ("m", false, false));
    }

    #[test]
    fn a_response_that_completed_tells_its_usage() {
        let (seen, _) = feed(
            &mut Grammar::Responses,
            &[
                r#"{"type":"response.output_text.delta","delta":"hi"}"#,
                r#"{"type":"response.completed","response":{"status":"completed","usage":{"input_tokens":5,"output_tokens":2,"input_tokens_details":{"cached_tokens":4}}}}"#,
            ],
        );

        assert_eq!(seen.usage, Some(Usage { input: 5, output: 2, cached: 4, ..Usage::default() }));
        assert!(seen.is_done && seen.tokens == 1);
    }
}
