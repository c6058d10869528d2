//! What a whole answer says, as far as accounts need it.

use super::{
    Seen,
    grammar::{Chunk, MessagesUsage, ResponseObject, from_wire},
};
use crate::{Dialect, failure::UpstreamError};
use serde::Deserialize;
use std::borrow::Cow;
use wire::usage::WireUsage;

#[derive(Deserialize)]
struct Message<'a> {
    usage: Option<MessagesUsage>,
    #[serde(borrow)]
    stop_reason: Option<Cow<'a, str>>,
    input_tokens: Option<u64>,
}

/// Reads a whole answer in its own dialect. `None` when it is no JSON object of that kind.
pub(crate) fn read_whole(dialect: Dialect, text: &str) -> Option<Seen> {
    let mut seen = Seen::default();
    let chunk = serde_json::from_str::<Chunk<'_>>(text).ok()?;
    if let Some(error) = chunk.error.filter(|raw| raw.get() != "null") {
        seen.error = Some(UpstreamError::from_value(&serde_json::from_str(error.get()).unwrap_or_default()));
        return Some(seen);
    }
    match dialect {
        Dialect::Messages | Dialect::CountTokens => {
            let message = serde_json::from_str::<Message<'_>>(text).ok()?;
            seen.finish = message.stop_reason.map(Cow::into_owned);
            if let Some(usage) = message.usage {
                usage.add_to(seen.usage.get_or_insert_default());
            } else if message.input_tokens.is_some() {
                // Counting is free.
                seen.usage = Some(domain::Usage::default());
            }
        }
        Dialect::Responses => {
            let response = serde_json::from_str::<ResponseObject<'_>>(text).ok()?;
            seen.finish = response.status.map(Cow::into_owned);
            seen.usage = response.usage.map(Into::into);
        }
        Dialect::Chat | Dialect::Completions | Dialect::Embeddings => {
            seen.usage = chunk.usage.and_then(|raw| serde_json::from_str::<WireUsage>(raw.get()).ok()).map(from_wire);
            let mut choices = chunk.choices.into_iter().flatten();
            seen.finish = choices.find_map(|choice| choice.finish_reason).map(Cow::into_owned);
        }
    }
    Some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Usage;

    #[test]
    fn each_dialect_tells_usage_in_its_own_words() {
        let cases = [
            (
                Dialect::Chat,
                r#"{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}"#,
            ),
            (
                Dialect::Messages,
                r#"{"stop_reason":"end_turn","usage":{"input_tokens":1,"cache_read_input_tokens":4,"output_tokens":2}}"#,
            ),
            (
                Dialect::Responses,
                r#"{"status":"completed","error":null,"usage":{"input_tokens":5,"output_tokens":2,"input_tokens_details":{"cached_tokens":4}}}"#,
            ),
        ];
        for (dialect, text) in cases {
            let seen = read_whole(dialect, text).unwrap();

            assert_eq!(seen.usage, Some(Usage { input: 5, output: 2, cached: 4, ..Usage::default() }), "{dialect:?}");
            assert!(seen.finish.is_some() && seen.error.is_none());
        }
    }

    #[test]
    fn an_error_in_a_200_is_seen_and_what_is_no_json_is_nothing() {
        assert_eq!(read_whole(Dialect::Chat, r#"{"error":{"message":"m"}}"#).unwrap().error.unwrap().message, "m");
        assert!(read_whole(Dialect::Chat, "<html>").is_none());
    }
}
