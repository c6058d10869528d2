//! What a report may be asked for.

use crate::openapi::words::FormatWord;
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use domain::{Error, KeyId, Result, TenantId};
use http::{HeaderMap, header::ACCEPT};
use serde::Deserialize;
use store::{UsageGroup, UsageQuery};
use utoipa::IntoParams;

/// The last millisecond of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;
/// The longest text to compare with.
const MAX_CHARS: usize = 256;

/// What a tenant may ask for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Asked` reads")]
pub(crate) struct UsageParams {
    /// The beginning: Unix seconds, RFC 3339 or `YYYY-MM-DD` (UTC). The first of this month where it is not said.
    from: Option<String>,
    /// The end, which does not belong to it, written alike. Now where it is not said.
    to: Option<String>,
    /// Of this model only.
    model: Option<String>,
    /// Of the key with this id only.
    key_id: Option<String>,
    /// `day`, `tenant`, `key`, `principal`, `model`, `deployment` or `class`: several apart by commas, or the parameter
    /// several times. Where it is not said, there is one row.
    group_by: Option<String>,
    /// Where it is not said, what `Accept` prefers.
    #[param(value_type = Option<FormatWord>, inline)]
    format: Option<String>,
}

/// What an operator may ask for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Asked` reads")]
pub(crate) struct AnyUsageParams {
    /// The beginning: Unix seconds, RFC 3339 or `YYYY-MM-DD` (UTC). The first of this month where it is not said.
    from: Option<String>,
    /// The end, which does not belong to it, written alike. Now where it is not said.
    to: Option<String>,
    /// Of this tenant only.
    tenant_id: Option<String>,
    /// Of this model only.
    model: Option<String>,
    /// Of the key with this id only.
    key_id: Option<String>,
    /// `day`, `tenant`, `key`, `principal`, `model`, `deployment` or `class`: several apart by commas, or the parameter
    /// several times. Where it is not said, there is one row.
    group_by: Option<String>,
    /// Where it is not said, what `Accept` prefers.
    #[param(value_type = Option<FormatWord>, inline)]
    format: Option<String>,
}

/// A report as it was asked for.
pub(super) struct Asked {
    pub(super) query: UsageQuery,
    pub(super) is_csv: bool,
}

impl Asked {
    /// Reads a query string. Only an operator may name a tenant.
    pub(super) fn read(
        pairs: Vec<(String, String)>,
        headers: &HeaderMap,
        now_ms: i64,
        any_tenant: bool,
    ) -> Result<Self> {
        let from_ms = first_of_month(now_ms);
        let mut asked = Self {
            query: UsageQuery { from_ms, to_ms: now_ms + 1, ..UsageQuery::default() },
            is_csv: prefers_csv(headers),
        };
        for (name, value) in pairs {
            match name.as_str() {
                "tenant_id" if any_tenant => asked.query.tenant = Some(TenantId::from_string(text(&name, value)?)),
                _ => asked.take(&name, value)?,
            }
        }
        if asked.query.from_ms >= asked.query.to_ms {
            return Err(wrong("to", "`to` must be later than `from`.".to_owned()));
        }
        Ok(asked)
    }

    fn take(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "from" => self.query.from_ms = time(name, &value)?,
            "to" => self.query.to_ms = time(name, &value)?,
            "model" => self.query.model = Some(text(name, value)?),
            "key_id" => self.query.key = Some(KeyId::from_string(text(name, value)?)),
            "group_by" => value.split(',').try_for_each(|word| self.divide_by(word.trim()))?,
            "format" => self.is_csv = is_csv(&value)?,
            _ => {
                let name: String = name.chars().take(64).collect();
                return Err(wrong(&name, format!("There is no query parameter `{name}` here.")));
            }
        }
        Ok(())
    }

    fn divide_by(&mut self, word: &str) -> Result<()> {
        let group = UsageGroup::parse(word).ok_or_else(|| {
            let allowed = UsageGroup::ALL.map(UsageGroup::as_str).join("', '");
            wrong("group_by", format!("Invalid value: '{}'. Supported values are: '{allowed}'.", short(word)))
        })?;
        if !self.query.group_by.contains(&group) {
            self.query.group_by.push(group);
        }
        Ok(())
    }
}

fn is_csv(value: &str) -> Result<bool> {
    match value {
        "json" => Ok(false),
        "csv" => Ok(true),
        _ => Err(wrong("format", format!("Invalid value: '{}'. Supported values are: 'json', 'csv'.", short(value)))),
    }
}

/// Whether the first type that we have is CSV.
fn prefers_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut types = accept.split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
    types.find(|essence| ["text/csv", "application/json", "*/*"].contains(essence)) == Some("text/csv")
}

/// Unix seconds, RFC 3339 or a day of UTC, as milliseconds.
fn time(param: &str, value: &str) -> Result<i64> {
    let read = value
        .parse::<i64>()
        .ok()
        .and_then(|secs| secs.checked_mul(1_000))
        .or_else(|| Some(DateTime::parse_from_rfc3339(value).ok()?.timestamp_millis()))
        .or_else(|| Some(midnight(NaiveDate::parse_from_str(value, "%Y-%m-%d").ok()?)));
    read.filter(|ms| (0..=LAST_MS).contains(ms)).ok_or_else(|| {
        let shown = short(value);
        wrong(
            param,
            format!(
                "Invalid `{param}`: '{shown}'. It is a time since 1970 in Unix seconds, in RFC 3339 (with `+` as `%2B`), or a \
                 day as `2026-01-31`."
            ),
        )
    })
}

fn first_of_month(now_ms: i64) -> i64 {
    let today = DateTime::<Utc>::from_timestamp_millis(now_ms).unwrap_or_default().date_naive();
    midnight(today.with_day(1).unwrap_or(today))
}

fn midnight(day: NaiveDate) -> i64 {
    day.and_time(NaiveTime::MIN).and_utc().timestamp_millis()
}

fn text(param: &str, value: String) -> Result<String> {
    if value.is_empty() || value.chars().count() > MAX_CHARS || value.contains('\0') {
        return Err(wrong(param, format!("`{param}` has 1 to {MAX_CHARS} characters.")));
    }
    Ok(value)
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

fn wrong(param: &str, message: String) -> Error {
    Error::invalid(message).with_param(param).with_code("invalid_value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const NOW_MS: i64 = 1_771_000_000_000;

    fn read(query: &[(&str, &str)]) -> Result<Asked> {
        let pairs = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Asked::read(pairs, &HeaderMap::new(), NOW_MS, true)
    }

    #[test]
    fn a_time_may_be_written_in_three_ways() {
        for text in ["1767225600", "2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"] {
            assert_eq!(time("from", text).unwrap(), 1_767_225_600_000, "{text}");
        }
        for text in ["", "yesterday", "-1", "2026-13-01", "9999999999999999999", "300000000000", "1767225600.5"] {
            assert_eq!(time("from", text).unwrap_err().param(), Some("from"), "{text}");
        }
    }

    #[test]
    fn a_report_is_of_this_month_unless_asked() {
        let asked = read(&[]).unwrap();

        assert_eq!(asked.query.from_ms, time("from", "2026-02-01").unwrap());
        assert_eq!(asked.query.to_ms, NOW_MS + 1);
        assert!(!asked.is_csv && asked.query.group_by.is_empty());
    }

    #[test]
    fn groups_may_be_repeated_and_apart_by_commas() {
        let asked = read(&[("group_by", "model, day"), ("group_by", "model,key"), ("format", "csv")]).unwrap();

        assert_eq!(asked.query.group_by, [UsageGroup::Model, UsageGroup::Day, UsageGroup::Key]);
        assert!(asked.is_csv);
    }

    #[test]
    fn what_nobody_understands_is_refused_by_name() {
        for (name, value) in [
            ("group_by", "hour"),
            ("group_by", ""),
            ("format", "xml"),
            ("model", ""),
            ("key_id", &"k".repeat(257)),
            ("since", "1"),
            ("to", "1"),
        ] {
            assert_eq!(read(&[(name, value)]).err().unwrap().param(), Some(name), "{value}");
        }
        let pairs = vec![("tenant_id".to_owned(), "t".to_owned())];
        assert!(Asked::read(pairs, &HeaderMap::new(), NOW_MS, false).is_err());
    }

    #[test]
    fn the_first_type_we_have_wins() {
        for (accept, is_csv) in [
            ("text/csv", true),
            ("text/html, text/csv;q=0.9, */*", true),
            ("application/json, text/csv", false),
            ("*/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(prefers_csv(&headers), is_csv, "{accept}");
        }
    }
}
