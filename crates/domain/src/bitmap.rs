//! Which lines of a shard are done: one bit a line, compact enough to live in the shard's row.

/// A fixed-length set of line numbers, counted from 0 within the shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    len: usize,
    bytes: Vec<u8>,
}

impl Bitmap {
    /// An empty set for `len` lines.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self { len, bytes: vec![0; len.div_ceil(8)] }
    }

    /// Reads back what [`Bitmap::as_bytes`] gave; missing bytes count as unset.
    #[must_use]
    pub fn from_bytes(len: usize, bytes: &[u8]) -> Self {
        let mut padded = bytes.to_vec();
        padded.resize(len.div_ceil(8), 0);
        Self { len, bytes: padded }
    }

    /// The stored form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many lines it is about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it is about no lines at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Marks a line. Lines beyond the end are ignored.
    pub fn set(&mut self, line: usize) {
        if line < self.len {
            self.bytes[line / 8] |= 1 << (line % 8);
        }
    }

    /// Whether a line is marked.
    #[must_use]
    pub fn contains(&self, line: usize) -> bool {
        line < self.len && self.bytes[line / 8] & (1 << (line % 8)) != 0
    }

    /// How many lines are marked.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether every line is marked.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count() == self.len
    }

    /// Whether no line is marked in both.
    #[must_use]
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.bytes.iter().zip(&other.bytes).all(|(a, b)| a & b == 0)
    }

    /// Marks every line that `other` marks.
    pub fn union_with(&mut self, other: &Self) {
        for (a, b) in self.bytes.iter_mut().zip(&other.bytes) {
            *a |= b;
        }
    }

    /// Unmarks every line that `other` marks.
    pub fn subtract(&mut self, other: &Self) {
        for (a, b) in self.bytes.iter_mut().zip(&other.bytes) {
            *a &= !b;
        }
    }

    /// The lines that are not marked, in order.
    pub fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len).filter(|line| !self.contains(*line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marked_and_missing_lines_partition_the_shard(len in 1usize..300, marks in prop::collection::btree_set(0usize..300, 0..80)) {
            let mut bitmap = Bitmap::new(len);

            for line in &marks {
                bitmap.set(*line);
            }

            let marked: Vec<_> = marks.into_iter().filter(|line| *line < len).collect();
            prop_assert_eq!(bitmap.count(), marked.len());
            prop_assert!(bitmap.missing().all(|line| !marked.contains(&line)));
            prop_assert_eq!(Bitmap::from_bytes(len, bitmap.as_bytes()), bitmap.clone());
            let mut rest = bitmap.clone();
            rest.subtract(&bitmap);
            prop_assert_eq!(rest, Bitmap::new(len));
        }
    }
}
