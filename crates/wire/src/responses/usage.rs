//! Token counts. As in the pivot, the input includes what a cache held and the output includes reasoning.

use crate::pivot::Usage;
use serde_json::{Value, json};

pub(super) fn write(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": { "cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write },
        "output_tokens": usage.output,
        "output_tokens_details": { "reasoning_tokens": usage.reasoning },
        "total_tokens": usage.input.saturating_add(usage.output),
    })
}

/// Reads leniently: absent and null mean 0.
pub(super) fn read(usage: &Value) -> Option<Usage> {
    let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    usage.is_object().then(|| Usage {
        input: count("/input_tokens"),
        output: count("/output_tokens"),
        cached: count("/input_tokens_details/cached_tokens"),
        cache_write: count("/input_tokens_details/cache_write_tokens"),
        reasoning: count("/output_tokens_details/reasoning_tokens"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let usage = Usage { input: 17, output: 5, cached: 16, cache_write: 1, reasoning: 3 };

        assert_eq!(read(&write(&usage)), Some(usage));
        assert_eq!(write(&usage)["total_tokens"], 22);
        assert_eq!(read(&json!({"input_tokens_details": null})), Some(Usage::default()));
        assert_eq!(read(&Value::Null), None);
    }
}
