//! Token counts as model servers report them, read leniently: absent and null mean 0, extra keys are ignored.

use serde::Deserialize;
use serde_json::{Number, Value};

/// The counts of one `usage` object. `input` includes `cached` and `cache_write`, `output` includes `reasoning`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "UsageObject")]
pub struct WireUsage {
    /// `prompt_tokens`
    pub input: u64,
    /// `completion_tokens`
    pub output: u64,
    /// `prompt_tokens_details.cached_tokens`
    pub cached: u64,
    /// `prompt_tokens_details.cache_write_tokens`
    pub cache_write: u64,
    /// `completion_tokens_details.reasoning_tokens`
    pub reasoning: u64,
}

#[derive(Deserialize)]
struct UsageObject {
    prompt_tokens: Option<Number>,
    completion_tokens: Option<Number>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<Number>,
    cache_write_tokens: Option<Number>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<Number>,
}

impl From<UsageObject> for WireUsage {
    fn from(object: UsageObject) -> Self {
        let prompt = object.prompt_tokens_details;
        let (cached, cache_write) =
            prompt.map_or((None, None), |prompt| (prompt.cached_tokens, prompt.cache_write_tokens));
        Self {
            input: count(object.prompt_tokens),
            output: count(object.completion_tokens),
            cached: count(cached),
            cache_write: count(cache_write),
            reasoning: count(object.completion_tokens_details.and_then(|details| details.reasoning_tokens)),
        }
    }
}

fn count(number: Option<Number>) -> u64 {
    number.and_then(|number| number.as_u64()).unwrap_or(0)
}

impl WireUsage {
    /// Reads a `usage` object.
    #[must_use]
    pub fn from_value(usage: &Value) -> Option<Self> {
        usage.is_object().then(|| Self::deserialize(usage).ok()).flatten()
    }

    /// Reads the `usage` of a whole answer or of one chunk of a stream.
    #[must_use]
    pub fn from_chunk(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Chunk {
            usage: Option<WireUsage>,
        }
        serde_json::from_str::<Chunk>(text).ok()?.usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_read() {
        let text = r#"{"choices":[],"usage":{"prompt_tokens":17,"completion_tokens":3,"total_tokens":20,
            "prompt_tokens_details":{"cached_tokens":12,"cache_write_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}}"#;

        let usage = WireUsage::from_chunk(text);

        assert_eq!(usage, Some(WireUsage { input: 17, output: 3, cached: 12, cache_write: 4, reasoning: 2 }));
    }

    #[test]
    fn null_details_and_missing_counts_are_zero() {
        let usage = WireUsage::from_chunk(r#"{"usage":{"prompt_tokens":5,"prompt_tokens_details":null}}"#);

        assert_eq!(usage, Some(WireUsage { input: 5, ..WireUsage::default() }));
    }

    #[test]
    fn no_usage_is_none() {
        for text in ["{}", r#"{"usage":null}"#, "[DONE]", r#"{"usage":7}"#] {
            assert_eq!(WireUsage::from_chunk(text), None, "{text}");
        }
        assert_eq!(WireUsage::from_value(&Value::Null), None);
    }
}
