//! Values of flags that are more than a text.

use rust_decimal::Decimal;
use std::str::FromStr;

/// A share of the bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tolerance {
    percent: Decimal,
}

impl Tolerance {
    /// Whether `ours` is as near to `theirs` as is allowed.
    pub(super) fn covers(self, theirs: i64, ours: i64) -> bool {
        let difference = Decimal::from((i128::from(theirs) - i128::from(ours)).unsigned_abs());
        difference * Decimal::ONE_HUNDRED <= Decimal::from(theirs.unsigned_abs()) * self.percent
    }
}

impl FromStr for Tolerance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.trim().trim_end_matches('%').parse::<Decimal>().ok();
        let percent = percent.filter(|percent| (Decimal::ZERO..=Decimal::ONE_HUNDRED).contains(percent));
        percent
            .map(|percent| Self { percent })
            .ok_or_else(|| "write a number from 0 to 100, as `1%` or `0.5`".to_owned())
    }
}

/// A model of the bill and what it is called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameMap {
    pub(super) theirs: String,
    pub(super) ours: String,
}

impl FromStr for NameMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (theirs, ours) = pair(text)?;
        Ok(Self { theirs, ours })
    }
}

/// What a bill says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Day,
    Model,
    Cost,
    InputTokens,
    OutputTokens,
}

impl Field {
    pub(super) const ALL: [Self; 5] = [Self::Day, Self::Model, Self::Cost, Self::InputTokens, Self::OutputTokens];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Model => "model",
            Self::Cost => "cost_usd",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
        }
    }
}

/// How a bill calls a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(super) field: Field,
    pub(super) header: String,
}

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, header) = pair(text)?;
        let field = Field::ALL.into_iter().find(|field| field.as_str() == name);
        let field = field.ok_or_else(|| {
            let names = Field::ALL.map(Field::as_str).join(", ");
            format!("a bill has no `{name}`; it has {names}")
        })?;
        Ok(Self { field, header })
    }
}

/// Names of models and columns may hold a `=` only on the right.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.trim().is_empty() && !right.trim().is_empty() => {
            Ok((left.trim().to_owned(), right.trim().to_owned()))
        }
        _ => Err("write it as `NAME=NAME`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_a_share_of_the_bill() {
        let one: Tolerance = "1%".parse().unwrap();

        assert!(one.covers(10_000, 9_900) && one.covers(10_000, 10_100) && one.covers(0, 0));
        assert!(!one.covers(10_000, 9_899) && !one.covers(0, 1));
        assert!("0".parse::<Tolerance>().unwrap().covers(i64::MAX, i64::MAX));
        for text in ["", "x", "-1", "101", "NaN"] {
            assert!(text.parse::<Tolerance>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_pairs() {
        let map: NameMap = "Claude Haiku 4.5 = haiku".parse().unwrap();

        assert_eq!((map.theirs.as_str(), map.ours.as_str()), ("Claude Haiku 4.5", "haiku"));
        assert!("haiku".parse::<NameMap>().is_err() && "=haiku".parse::<NameMap>().is_err());
    }
}
