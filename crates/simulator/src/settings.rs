//! What a simulated model server is asked to be: names, speeds and limits.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Tokens in one KV-cache block, as in vLLM.
pub(crate) const BLOCK_TOKENS: usize = 16;

/// Settings of one simulated server. Every field has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatorSettings {
    /// Where the binary listens.
    pub bind: SocketAddr,
    /// Served model names; the first one answers requests that name no model.
    pub models: Vec<String>,
    /// Prompt tokens per second and sequence; 0 = no delay.
    pub prefill_tokens_per_sec: f64,
    /// Generated tokens per second and sequence; 0 = no delay.
    pub decode_tokens_per_sec: f64,
    /// How many sequences run at once; the others wait.
    pub max_num_seqs: usize,
    /// How many sequences may wait before new ones are refused; none = no limit.
    pub max_num_queued: Option<usize>,
    /// KV-cache size in tokens, shared by all running sequences.
    pub kv_tokens: usize,
    /// Longest prompt plus answer, in tokens; never more than the KV cache holds.
    pub max_model_len: usize,
    /// Seed of every text, vector and probability.
    pub seed: u64,
    /// Length of an answer whose request has no `max_tokens`.
    pub default_max_tokens: usize,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 8200)),
            models: vec!["tandem-sim".to_owned()],
            prefill_tokens_per_sec: 8_000.0,
            decode_tokens_per_sec: 50.0,
            max_num_seqs: 64,
            max_num_queued: None,
            kv_tokens: 262_144,
            max_model_len: 8_192,
            seed: 0,
            default_max_tokens: 16,
        }
    }
}

impl SimulatorSettings {
    /// KV blocks of the whole cache, at least one.
    pub(crate) fn kv_blocks(&self) -> usize {
        (self.kv_tokens / BLOCK_TOKENS).max(1)
    }

    /// The longest sequence that can run, so that one alone always fits.
    pub(crate) fn context_tokens(&self) -> usize {
        self.max_model_len.min(self.kv_blocks() * BLOCK_TOKENS).max(2)
    }

    /// The model that stands in the metrics' labels.
    pub(crate) fn first_model(&self) -> &str {
        self.models.first().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_refused() {
        let parsed = serde_json::from_str::<SimulatorSettings>(r#"{"max_num_seq": 1}"#);

        assert!(parsed.is_err());
    }

    #[test]
    fn the_context_never_exceeds_the_cache() {
        let settings = SimulatorSettings { kv_tokens: 100, max_model_len: 4_096, ..SimulatorSettings::default() };

        assert_eq!(settings.context_tokens(), 96);
    }
}
