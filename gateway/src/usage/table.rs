//! The rows of a report, as JSON and as CSV.

use chrono::{DateTime, Utc};
use domain::{Error, Money, Result};
use serde::Serialize;
use store::{UsageGroup, UsageQuery, UsageRow};
use utoipa::ToSchema;

/// The columns after those a report is divided by.
const SUMS: [&str; 10] = [
    "requests",
    "failed_requests",
    "estimated_requests",
    "unpriced_requests",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
];

/// A report.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageReport {
    /// Always `usage_report`.
    object: &'static str,
    /// The beginning, in Unix milliseconds.
    from_ms: i64,
    /// The end, in Unix milliseconds; it does not belong to it.
    to_ms: i64,
    /// By what it is divided.
    group_by: Vec<&'static str>,
    /// All rows: a report has no pages.
    data: Vec<UsageObject>,
}

/// A row of a report. What it is not divided by is absent.
#[derive(Debug, Serialize, ToSchema)]
struct UsageObject {
    /// A day of UTC, as `2026-01-31`.
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    /// Who pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    /// The key that asked; null where a token asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    key_id: Option<Option<String>>,
    /// The principal that asked; null where a key asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    principal: Option<Option<String>>,
    /// The model that answered, else the one asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// The deployment that answered; null where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    deployment: Option<Option<String>>,
    /// `interactive` or `batch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    /// How many there were.
    requests: i64,
    /// Those of them without an answer, or with one that was cut.
    failed_requests: i64,
    /// Those of them whose tokens are a guess.
    estimated_requests: i64,
    /// Those of them whose price is not known: `cost_usd` lacks them. More than none is a reason to look.
    unpriced_requests: i64,
    /// Tokens of prompts, with the two kinds below.
    input_tokens: u64,
    /// Tokens of answers, with those of reasoning.
    output_tokens: u64,
    /// Tokens of prompts that came out of a cache.
    cached_tokens: u64,
    /// Tokens of prompts that were written to a cache at a price of their own.
    cache_write_tokens: u64,
    /// Tokens of answers spent on reasoning.
    reasoning_tokens: u64,
    /// What those with a price cost, in US dollars, with nine decimals; null where none of them has one.
    cost_usd: Option<String>,
}

impl UsageReport {
    pub(super) fn new(query: &UsageQuery, rows: &[UsageRow]) -> Self {
        Self {
            object: "usage_report",
            from_ms: query.from_ms,
            to_ms: query.to_ms,
            group_by: query.group_by.iter().map(|group| group.as_str()).collect(),
            data: rows.iter().map(|row| to_wire(row, &query.group_by)).collect(),
        }
    }
}

fn to_wire(row: &UsageRow, groups: &[UsageGroup]) -> UsageObject {
    let given = |group: UsageGroup| groups.contains(&group).then(|| text(row, group));
    UsageObject {
        day: given(UsageGroup::Day).flatten(),
        tenant_id: given(UsageGroup::Tenant).flatten(),
        key_id: given(UsageGroup::Key),
        principal: given(UsageGroup::Principal),
        model: given(UsageGroup::Model).flatten(),
        deployment: given(UsageGroup::Deployment),
        class: given(UsageGroup::Class).flatten(),
        requests: row.requests,
        failed_requests: row.failed_requests,
        estimated_requests: row.estimated_requests,
        unpriced_requests: row.unpriced_requests,
        input_tokens: row.usage.input,
        output_tokens: row.usage.output,
        cached_tokens: row.usage.cached,
        cache_write_tokens: row.usage.cache_write,
        reasoning_tokens: row.usage.reasoning,
        cost_usd: row.known_cost().map(Money::to_usd),
    }
}

/// The report as CSV (RFC 4180), with a line of names.
pub(super) fn csv(rows: &[UsageRow], groups: &[UsageGroup]) -> Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let groups: Vec<_> = UsageGroup::ALL.into_iter().filter(|group| groups.contains(group)).collect();
    table.write_record(groups.iter().map(|group| column(*group)).chain(SUMS)).map_err(Error::internal)?;
    for row in rows {
        let divided = groups.iter().map(|group| harmless(text(row, *group).unwrap_or_default()));
        table.write_record(divided.chain(sums(row))).map_err(Error::internal)?;
    }
    table.into_inner().map_err(|error| Error::internal(error.into_error()))
}

fn sums(row: &UsageRow) -> [String; 10] {
    let usage = &row.usage;
    [
        row.requests.to_string(),
        row.failed_requests.to_string(),
        row.estimated_requests.to_string(),
        row.unpriced_requests.to_string(),
        usage.input.to_string(),
        usage.output.to_string(),
        usage.cached.to_string(),
        usage.cache_write.to_string(),
        usage.reasoning.to_string(),
        row.known_cost().map(Money::to_usd).unwrap_or_default(),
    ]
}

fn column(group: UsageGroup) -> &'static str {
    match group {
        UsageGroup::Tenant => "tenant_id",
        UsageGroup::Key => "key_id",
        other => other.as_str(),
    }
}

fn text(row: &UsageRow, group: UsageGroup) -> Option<String> {
    match group {
        UsageGroup::Day => row.day_ms.map(day),
        UsageGroup::Tenant => row.tenant.as_ref().map(ToString::to_string),
        UsageGroup::Key => row.key.as_ref().map(ToString::to_string),
        UsageGroup::Principal => row.principal.clone(),
        UsageGroup::Model => row.model.clone(),
        UsageGroup::Deployment => row.deployment.clone(),
        UsageGroup::Class => row.class.clone(),
    }
}

fn day(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().format("%Y-%m-%d").to_string()
}

/// Text that a spreadsheet doesn't take for a formula: a model may be called anything by whoever asks for it.
fn harmless(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{KeyId, Usage};

    fn row(model: &str) -> UsageRow {
        UsageRow {
            day_ms: Some(1_767_225_600_000),
            model: Some(model.to_owned()),
            requests: 3,
            unpriced_requests: 1,
            usage: Usage { input: 5, output: 2, ..Usage::default() },
            cost: Money::from_nanos(1_500),
            ..UsageRow::default()
        }
    }

    #[test]
    fn a_spreadsheet_finds_no_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(harmless(text.to_owned()), format!("'{text}"));
        }
        assert_eq!(harmless("gpt-4=o".to_owned()), "gpt-4=o");
    }

    #[test]
    fn a_table_has_the_columns_it_is_divided_by() {
        let rows = [row("a,\"b\""), row("=cmd|'/c calc'!A0")];

        let table = String::from_utf8(csv(&rows, &[UsageGroup::Model, UsageGroup::Day]).unwrap()).unwrap();

        let lines: Vec<_> = table.lines().collect();
        assert!(lines[0].starts_with("day,model,requests,failed_requests,"), "{table}");
        assert_eq!(lines[1], "2026-01-01,\"a,\"\"b\"\"\",3,0,0,1,5,2,0,0,0,0.000001500");
        assert!(lines[2].starts_with("2026-01-01,'=cmd|'/c calc'!A0,3,"), "{table}");
    }

    #[test]
    fn json_says_null_only_where_it_was_divided() {
        let of_key = UsageRow { key: Some(KeyId::from_string("key_a")), ..row("m") };

        let json = |row: &UsageRow| serde_json::to_value(to_wire(row, &[UsageGroup::Key])).unwrap();

        assert_eq!(json(&of_key)["key_id"], "key_a");
        assert!(json(&row("m"))["key_id"].is_null() && json(&row("m")).get("key_id").is_some());
        assert!(json(&row("m")).get("principal").is_none());
        assert_eq!(json(&row("m"))["cost_usd"], "0.000001500");
    }

    #[test]
    fn an_unknown_cost_is_not_nothing() {
        let unknown = UsageRow { unpriced_requests: 3, cost: Money::ZERO, ..row("m") };
        let nothing = UsageRow::default();

        let table = String::from_utf8(csv(std::slice::from_ref(&unknown), &[]).unwrap()).unwrap();

        assert!(serde_json::to_value(to_wire(&unknown, &[])).unwrap()["cost_usd"].is_null());
        assert!(table.ends_with(",0,0,0,\n"), "{table}");
        assert_eq!(serde_json::to_value(to_wire(&nothing, &[])).unwrap()["cost_usd"], "0.000000000");
    }
}
