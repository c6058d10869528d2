//! Token counts. Anthropic's `input_tokens` leaves out what a cache held or took; the pivot's `input` has it.

use crate::{
    fields::Fields,
    pivot::{TranslateError, Usage},
};
use serde_json::{Value, json};

/// The counts as Anthropic splits them; in a stream they come bit by bit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    uncached: u64,
    cache_read: u64,
    cache_creation: u64,
    output: u64,
    thinking: u64,
}

impl Counts {
    /// Takes what a `usage` tells. Counts are cumulative, so absent and 0 leave what an earlier one told.
    //
    // The other fields, as the service tier and how often Anthropic's own tools ran, tell of its bill and not of
    // tokens.
    pub(super) fn update(&mut self, mut usage: Fields) -> Result<(), TranslateError> {
        let mut details = usage.object("output_tokens_details")?;
        let thinking = details.as_mut().map(|details| details.unsigned("thinking_tokens")).transpose()?.flatten();
        for (count, told) in [
            (&mut self.uncached, usage.unsigned("input_tokens")?),
            (&mut self.cache_read, usage.unsigned("cache_read_input_tokens")?),
            (&mut self.cache_creation, usage.unsigned("cache_creation_input_tokens")?),
            (&mut self.output, usage.unsigned("output_tokens")?),
            (&mut self.thinking, thinking),
        ] {
            if let Some(told) = told.filter(|told| *told > 0) {
                *count = told;
            }
        }
        Ok(())
    }

    pub(super) fn usage(self) -> Usage {
        Usage {
            input: self.uncached.saturating_add(self.cache_read).saturating_add(self.cache_creation),
            output: self.output,
            cached: self.cache_read,
            cache_write: self.cache_creation,
            reasoning: self.thinking,
        }
    }
}

/// Reads a `usage` that tells everything.
pub(super) fn read(usage: Fields) -> Result<Usage, TranslateError> {
    let mut counts = Counts::default();
    counts.update(usage)?;
    Ok(counts.usage())
}

/// Writes a `usage`. Clients count on every number, so what is unknown is 0.
pub(super) fn write(usage: Usage) -> Value {
    let uncached = usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_write);
    let mut written = json!({
        "input_tokens": uncached,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    });
    if usage.reasoning > 0 {
        written["output_tokens_details"] = json!({ "thinking_tokens": usage.reasoning });
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_are_added_and_taken_off_again() {
        let told = json!({
            "input_tokens": 3, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 11,
            "output_tokens_details": {"thinking_tokens": 2},
        });

        let usage = read(Fields::new(told.clone(), "usage").unwrap()).unwrap();

        assert_eq!(usage, Usage { input: 15, output: 11, cached: 7, cache_write: 5, reasoning: 2 });
        assert_eq!(write(usage), told);
    }

    #[test]
    fn more_cached_than_read_is_not_below_zero() {
        let usage = Usage { input: 5, cached: 7, ..Usage::default() };

        assert_eq!(write(usage)["input_tokens"], 0);
    }
}
