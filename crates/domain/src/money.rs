//! Money as whole nano-USD: sums never lose a fraction of a cent.

use serde::{Deserialize, Serialize};
use std::{fmt, iter::Sum, ops::Add};

/// An amount in nano-USD (1 USD = 1,000,000,000).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount in nano-USD.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The amount in nano-USD.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The price of `tokens` at `self` per million tokens, rounded up to a whole nano-USD.
    #[must_use]
    pub fn per_million(self, tokens: u64) -> Self {
        let nanos = (i128::from(self.0) * i128::from(tokens) + 999_999) / 1_000_000;
        Self(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:09} USD", nanos / 1_000_000_000, nanos % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_token_is_never_free() {
        assert_eq!(Money::from_nanos(1).per_million(1), Money::from_nanos(1));
        assert_eq!(Money::from_nanos(2_500_000_000).per_million(1_000), Money::from_nanos(2_500_000));
    }

    #[test]
    fn prints_as_dollars() {
        assert_eq!(Money::from_nanos(-1_500_000_000).to_string(), "-1.500000000 USD");
    }
}
