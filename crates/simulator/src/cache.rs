//! The prefix cache: which prompt blocks were seen lately. Knows hashes, not texts.

use std::collections::{BTreeMap, HashMap};

/// Block hashes in the order of their last use, at most `capacity`.
#[derive(Debug)]
pub(crate) struct PrefixCache {
    capacity: usize,
    clock: u64,
    last_use: HashMap<u64, u64>,
    by_age: BTreeMap<u64, u64>,
}

impl PrefixCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, clock: 0, last_use: HashMap::new(), by_age: BTreeMap::new() }
    }

    /// How many of `blocks` are cached from the first on; afterwards all of them are.
    pub(crate) fn visit(&mut self, blocks: &[u64]) -> usize {
        let hits = blocks.iter().take_while(|block| self.last_use.contains_key(block)).count();
        // From the end, so that a prefix's first block is the last one to be forgotten.
        for block in blocks.iter().rev() {
            self.touch(*block);
        }
        hits
    }

    fn touch(&mut self, block: u64) {
        self.clock += 1;
        if let Some(before) = self.last_use.insert(block, self.clock) {
            self.by_age.remove(&before);
        }
        self.by_age.insert(self.clock, block);
        if self.last_use.len() > self.capacity
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.last_use.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_seen_before_is_a_hit() {
        let mut cache = PrefixCache::new(10);
        cache.visit(&[1, 2, 3]);

        assert_eq!(cache.visit(&[1, 2, 9]), 2);
    }

    #[test]
    fn the_least_recently_used_block_goes_first() {
        let mut cache = PrefixCache::new(2);
        cache.visit(&[1]);
        cache.visit(&[2]);
        cache.visit(&[1]);
        cache.visit(&[3]);

        assert_eq!((cache.visit(&[1]), cache.visit(&[2])), (1, 0));
    }
}
