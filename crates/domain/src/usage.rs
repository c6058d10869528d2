//! Tokens a request used.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Token counts. `input` includes `cached` and `cache_write`, `output` includes `reasoning` (as OpenAI counts them).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
    /// Prompt tokens served from a prefix cache.
    pub cached: u64,
    /// Prompt tokens written to a prefix cache at a price of their own.
    #[serde(default)]
    pub cache_write: u64,
    /// Generated tokens spent on reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// Input and output together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input + self.output
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.output += other.output;
        self.cached += other.cached;
        self.cache_write += other.cache_write;
        self.reasoning += other.reasoning;
    }
}
