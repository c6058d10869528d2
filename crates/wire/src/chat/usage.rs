//! Token counts. As in the pivot, the prompt includes what a cache held and the completion includes reasoning.

use crate::{pivot::Usage, usage::WireUsage};
use serde_json::{Value, json};

/// Writes all counts.
pub(super) fn write(usage: &Usage) -> Value {
    let mut written = json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input.saturating_add(usage.output),
        "prompt_tokens_details": { "cached_tokens": usage.cached },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning },
    });
    // Few servers write to a cache at a price, and most clients don't know the count.
    if usage.cache_write > 0 {
        written["prompt_tokens_details"]["cache_write_tokens"] = usage.cache_write.into();
    }
    written
}

/// Reads leniently: absent and null mean 0.
pub(super) fn read(usage: &Value) -> Option<Usage> {
    let WireUsage { input, output, cached, cache_write, reasoning } = WireUsage::from_value(usage)?;
    Some(Usage { input, output, cached, cache_write, reasoning })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_as_they_were() {
        let usage = Usage { input: 20, output: 9, cached: 5, cache_write: 7, reasoning: 4 };

        assert_eq!(read(&write(&usage)), Some(usage));
    }

    #[test]
    fn nothing_is_said_of_a_cache_that_costs_nothing() {
        let written = write(&Usage { input: 20, ..Usage::default() });

        assert_eq!(written["prompt_tokens_details"], json!({ "cached_tokens": 0 }));
    }
}
