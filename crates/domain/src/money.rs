//! Money as whole nano-USD: sums never lose a fraction of a cent.

use rust_decimal::{Decimal, prelude::ToPrimitive};
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

    /// The amount that `text` writes as a number of US dollars, as `12.5`. `None` when it is no number or no whole number
    /// of nano-USD: nothing is rounded.
    #[must_use]
    pub fn from_usd(text: &str) -> Option<Self> {
        let dollars = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()?;
        let nanos = dollars.checked_mul(Decimal::from(1_000_000_000))?;
        nanos.is_integer().then(|| nanos.to_i64().map(Self)).flatten()
    }

    /// The same for an amount that others calculated, which may have more decimals: rounded to whole nano-USD.
    #[must_use]
    pub fn about_usd(text: &str) -> Option<Self> {
        let dollars = text.parse::<Decimal>().or_else(|_| Decimal::from_scientific(text)).ok()?;
        dollars.checked_mul(Decimal::from(1_000_000_000))?.round().to_i64().map(Self)
    }

    /// The amount as a number of US dollars with all its nine decimals.
    #[must_use]
    pub fn to_usd(self) -> String {
        const DOLLAR: u64 = 1_000_000_000;
        let nanos = self.0.unsigned_abs();
        // Every answer has one: the formatter takes several times as long.
        let mut text = String::with_capacity(24);
        text.push_str(if self.0 < 0 { "-" } else { "" });
        text.push_str(itoa::Buffer::new().format(nanos / DOLLAR));
        text.push('.');
        // The leading one keeps the zeros.
        text.push_str(&itoa::Buffer::new().format(DOLLAR + nanos % DOLLAR)[1..]);
        text
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
        write!(f, "{} USD", self.to_usd())
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
    fn dollars_are_read_exactly_or_not_at_all() {
        for (text, nanos) in [
            ("0.1", 100_000_000),
            ("12", 12_000_000_000),
            ("0.000000001", 1),
            ("9007199254.740993001", 9_007_199_254_740_993_001),
            ("1e-3", 1_000_000),
            ("-1.50", -1_500_000_000),
        ] {
            assert_eq!(Money::from_usd(text), Some(Money(nanos)), "{text}");
            assert_eq!(Money::from_usd(&Money(nanos).to_usd()), Some(Money(nanos)));
        }
        for text in ["", "x", "0.0000000001", "1e30", "1e-10", "NaN", "inf", "1,5", "9223372037"] {
            assert_eq!(Money::from_usd(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_of_others_are_rounded() {
        assert_eq!(Money::about_usd("0.89587400000000000000001"), Some(Money(895_874_000)));
        assert_eq!(Money::about_usd("0.0000000006"), Some(Money(1)));
        assert_eq!(Money::about_usd("-1.5e-9"), Some(Money(-2)));
        assert_eq!(Money::about_usd("1,5"), None);
    }

    #[test]
    fn prints_as_dollars() {
        assert_eq!(Money::from_nanos(-1_500_000_000).to_string(), "-1.500000000 USD");
    }
}
