//! What the simulated model says: a pure function of seed and prompt, so that a test can check a whole answer.
//! One word, with its leading space, is one token.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::settings::BLOCK_TOKENS;

/// Every word the simulator knows; a power of two, so that none is likelier than another.
const WORDS: [&str; 64] = [
    " amber", " anchor", " apple", " arrow", " autumn", " basket", " beacon", " birch", " bridge", " bronze",
    " candle", " canyon", " cedar", " cliff", " cloud", " copper", " coral", " cotton", " daisy", " delta", " desert",
    " drift", " eagle", " ember", " falcon", " fern", " field", " flint", " forest", " garden", " glacier", " granite",
    " harbor", " hazel", " heron", " hollow", " island", " ivory", " jasper", " juniper", " kettle", " lantern",
    " laurel", " ledger", " linen", " maple", " marble", " meadow", " mirror", " mosaic", " nectar", " north",
    " ocean", " orchard", " pebble", " pepper", " prairie", " quartz", " river", " saddle", " silver", " thunder",
    " velvet", " willow",
];

/// Tokens that a chat message costs besides its words.
const MESSAGE_TOKENS: usize = 3;

/// The first `n_tokens` tokens of the answer to `prompt`. Choice `i` of an `n > 1` request is the answer for
/// `seed.wrapping_add(i)`. For a chat, `prompt` is what [`chat_prompt`] makes of the messages.
#[must_use]
pub fn answer(seed: u64, prompt: &str, n_tokens: usize) -> Vec<String> {
    let voice = Voice::new(seed, prompt);
    (0..n_tokens).map(|position| voice.word(position).to_owned()).collect()
}

/// A chat as one prompt: a line `role: content` for each message.
#[must_use]
pub fn chat_prompt<'a>(messages: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let lines: Vec<String> = messages.into_iter().map(|(role, content)| format!("{role}: {content}")).collect();
    lines.join("\n")
}

/// The estimated prompt tokens of a chat: whitespace-separated words plus 3 for each message.
#[must_use]
pub fn chat_tokens<'a>(messages: impl IntoIterator<Item = (&'a str, &'a str)>) -> usize {
    messages.into_iter().map(|(_, content)| MESSAGE_TOKENS + content.split_whitespace().count()).sum()
}

/// The estimated tokens of a plain prompt: its whitespace-separated words, at least 1.
#[must_use]
pub fn text_tokens(text: &str) -> usize {
    text.split_whitespace().count().max(1)
}

/// An endless answer, read one token at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voice(u64);

impl Voice {
    pub(crate) fn new(seed: u64, prompt: &str) -> Self {
        Self(xxh3_64_with_seed(prompt.as_bytes(), seed))
    }

    pub(crate) fn word(self, position: usize) -> &'static str {
        let draw = self.number(position as u64);
        WORDS[(draw % WORDS.len() as u64) as usize]
    }

    /// A number in `-1.0..1.0`, for vectors.
    pub(crate) fn component(self, position: usize) -> f32 {
        let draw = self.number(position as u64) >> 40;
        draw as f32 / (1_u64 << 23) as f32 - 1.0
    }

    fn number(self, position: u64) -> u64 {
        xxh3_64_with_seed(&position.to_le_bytes(), self.0)
    }
}

/// A prompt, counted and cut into cacheable blocks.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(crate) text: String,
    pub(crate) tokens: usize,
    /// Chained hashes of the full blocks: equal hash means equal prefix.
    pub(crate) blocks: Arc<[u64]>,
}

impl Prompt {
    pub(crate) fn from_chat(messages: &[(String, String)], salt: u64) -> Self {
        let pairs = || messages.iter().map(|(role, content)| (role.as_str(), content.as_str()));
        let mut blocks = BlockHasher::new(salt);
        for (role, content) in pairs() {
            (0..MESSAGE_TOKENS).for_each(|_| blocks.push(role));
            content.split_whitespace().for_each(|word| blocks.push(word));
        }
        Self { text: chat_prompt(pairs()), tokens: chat_tokens(pairs()), blocks: blocks.full.into() }
    }

    pub(crate) fn from_text(text: String, salt: u64) -> Self {
        let mut blocks = BlockHasher::new(salt);
        text.split_whitespace().for_each(|word| blocks.push(word));
        Self { tokens: text_tokens(&text), blocks: blocks.full.into(), text }
    }
}

struct BlockHasher {
    chain: u64,
    count: usize,
    full: Vec<u64>,
}

impl BlockHasher {
    fn new(salt: u64) -> Self {
        Self { chain: salt, count: 0, full: Vec::new() }
    }

    fn push(&mut self, token: &str) {
        self.chain = xxh3_64_with_seed(token.as_bytes(), self.chain);
        self.count += 1;
        if self.count.is_multiple_of(BLOCK_TOKENS) {
            self.full.push(self.chain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_prompt_gets_the_same_answer() {
        assert_eq!(answer(7, "hello", 20), answer(7, "hello", 20));
    }

    #[test]
    fn seed_and_prompt_change_the_answer() {
        let base = answer(7, "hello", 20);

        assert_ne!(answer(8, "hello", 20), base);
        assert_ne!(answer(7, "hello!", 20), base);
    }

    #[test]
    fn a_longer_answer_begins_with_the_shorter_one() {
        assert_eq!(answer(1, "p", 30)[..10], answer(1, "p", 10)[..]);
    }

    #[test]
    fn chats_cost_three_tokens_a_message() {
        assert_eq!(chat_tokens([("system", "be brief"), ("user", "say  hello\nnow")]), 3 + 2 + 3 + 3);
    }

    #[test]
    fn prompts_that_share_a_beginning_share_its_blocks() {
        let shared = "word ".repeat(32);

        let one = Prompt::from_text(format!("{shared} a b"), 0);
        let two = Prompt::from_text(format!("{shared} c"), 0);

        assert_eq!(one.blocks, two.blocks);
        assert_eq!(one.blocks.len(), 2);
    }
}
