//! A usage report as the API gives it, and as people read it. A cost that is not known is never shown as none.

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use domain::Money;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A report.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    group_by: Vec<String>,
    pub(super) data: Vec<Row>,
}

/// A row of it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Row {
    pub(super) requests: i64,
    failed_requests: i64,
    pub(super) unpriced_requests: i64,
    pub(super) input_tokens: i64,
    pub(super) output_tokens: i64,
    cached_tokens: i64,
    cost_usd: Option<String>,
    /// What it is divided by, and sums that nobody here needs.
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

/// One line, below the header.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));

const SUMS: [&str; 6] = ["requests", "failed", "input tokens", "cached", "output tokens", "cost (USD)"];

impl Row {
    /// What those with a price cost.
    pub(super) fn cost(&self) -> Money {
        self.cost_usd.as_deref().and_then(Money::from_usd).unwrap_or_default()
    }

    /// The value of what it is divided by; empty where there was none.
    pub(super) fn of(&self, group: &str) -> &str {
        // The API calls two of them by the names of their ids.
        let value = self.rest.get(group).or_else(|| self.rest.get(&format!("{group}_id")));
        value.and_then(serde_json::Value::as_str).unwrap_or_default()
    }

    fn cells(&self) -> [String; 6] {
        [
            self.requests.to_string(),
            self.failed_requests.to_string(),
            self.input_tokens.to_string(),
            self.cached_tokens.to_string(),
            self.output_tokens.to_string(),
            cost(self.cost(), self.unpriced_requests, self.requests),
        ]
    }

    fn add(mut self, other: &Self) -> Self {
        self.requests += other.requests;
        self.failed_requests += other.failed_requests;
        self.unpriced_requests += other.unpriced_requests;
        self.input_tokens += other.input_tokens;
        self.cached_tokens += other.cached_tokens;
        self.output_tokens += other.output_tokens;
        self.cost_usd = Some((self.cost() + other.cost()).to_usd());
        self
    }
}

impl Report {
    pub(super) fn to_table(&self) -> String {
        if self.data.iter().all(|row| row.requests == 0) {
            return "Nothing was used in that time.".to_owned();
        }
        let mut table = table(self.group_by.iter().map(String::as_str).chain(SUMS), self.group_by.len());
        for row in &self.data {
            let divided = self.group_by.iter().map(|group| printable(row.of(group)));
            table.add_row(divided.chain(row.cells()));
        }
        let total = self.data.iter().fold(Row::default(), Row::add);
        if self.data.len() > 1 {
            let names = (0..self.group_by.len()).map(|n| if n == 0 { "total".to_owned() } else { String::new() });
            table.add_row(names.chain(total.cells()));
        }
        let note = match total.unpriced_requests {
            0 => String::new(),
            count => {
                format!("\n{count} requests have no known price: their cost is missing. Set prices in models.toml.")
            }
        };
        format!("{table}{note}")
    }
}

/// Text for a terminal: a model may be called anything by whoever asks for it, or writes a bill.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(256).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// An empty table whose columns after the first `texts` are numbers.
pub(super) fn table<'a>(headers: impl Iterator<Item = &'a str>, texts: usize) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(headers.map(str::to_owned).collect::<Vec<_>>());
    // Columns that are passed over: `Iterator::skip`.
    table.column_iter_mut().skip(texts).for_each(|column| {
        column.set_cell_alignment(CellAlignment::Right);
    });
    table
}

/// A cost of `requests`, of which some have no price.
pub(super) fn cost(known: Money, unpriced: i64, requests: i64) -> String {
    match unpriced {
        0 => known.to_usd(),
        all if all == requests => "unknown".to_owned(),
        some => format!("{} + {some} unknown", known.to_usd()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(model: &str, unpriced: i64, cost: Option<&str>) -> serde_json::Value {
        json!({"model": model, "key_id": null, "requests": 3, "failed_requests": 0, "estimated_requests": 0,
               "unpriced_requests": unpriced, "input_tokens": 10, "output_tokens": 5, "cached_tokens": 0,
               "cache_write_tokens": 0, "reasoning_tokens": 0, "cost_usd": cost})
    }

    fn table(rows: &[serde_json::Value]) -> String {
        let report =
            json!({"object": "usage_report", "from_ms": 0, "to_ms": 1, "group_by": ["model", "key"], "data": rows});
        serde_json::from_value::<Report>(report).unwrap().to_table()
    }

    #[test]
    fn an_unknown_price_is_seen_and_not_shown_as_nothing() {
        let table = table(&[row("a", 0, Some("1.5")), row("b", 3, None), row("c", 1, Some("2"))]);

        let cost_of = |name| table.lines().find(|line| line.contains(name)).unwrap();
        assert!(cost_of(" a ").trim_end().ends_with("1.500000000"), "{table}");
        assert!(cost_of(" b ").trim_end().ends_with(" unknown"), "{table}");
        assert!(cost_of(" c ").trim_end().ends_with("2.000000000 + 1 unknown"), "{table}");
        assert!(cost_of(" total ").trim_end().ends_with("3.500000000 + 4 unknown"), "{table}");
        assert!(table.contains("4 requests have no known price"), "{table}");
    }

    #[test]
    fn a_name_can_not_command_the_terminal() {
        let table = table(&[row("\u{1b}[2Jx", 0, Some("1"))]);

        assert!(!table.contains('\u{1b}') && table.contains("[2Jx"), "{table:?}");
    }

    #[test]
    fn nothing_is_said_in_words() {
        let nothing = json!({"requests": 0, "failed_requests": 0, "unpriced_requests": 0, "input_tokens": 0,
                             "output_tokens": 0, "cached_tokens": 0, "cost_usd": "0.000000000"});

        assert_eq!(table(&[nothing]), "Nothing was used in that time.");
        assert_eq!(table(&[]), "Nothing was used in that time.");
    }
}
