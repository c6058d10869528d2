//! When and how much of a batch may run, as the command line says it and the API reads it.

use chrono::DateTime;
use clap::Args;
use serde_json::{Map, Value, json};

/// What takes back what was set.
const NONE: &str = "none";

/// When and how much of a batch may run.
#[derive(Debug, Args)]
pub(crate) struct Terms {
    /// Its place among your batches: urgent, standard or idle.
    #[arg(long)]
    priority: Option<String>,
    /// No line begins before: RFC 3339 or Unix seconds; none takes it back.
    #[arg(long, value_parser = time, value_name = "TIME")]
    not_before: Option<Value>,
    /// Lines begin only within this part of the day of UTC, as 22:00-06:00; none takes it back.
    #[arg(long, value_parser = between, value_name = "FROM-TO")]
    run_between: Option<Value>,
    /// Lines in flight at once; none takes it back.
    #[arg(long, value_parser = lines, value_name = "LINES")]
    max_concurrency: Option<Value>,
}

impl Terms {
    /// The fields of the API that were given.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let fields = [
            ("priority", self.priority.as_ref().map(|word| json!(word))),
            ("not_before", self.not_before.clone()),
            ("run_between", self.run_between.clone()),
            ("max_concurrency", self.max_concurrency.clone()),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// A time as Unix seconds.
pub(crate) fn time(text: &str) -> Result<Value, String> {
    if text == NONE {
        return Ok(Value::Null);
    }
    let secs = text.parse().ok().or_else(|| Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp()));
    secs.map(|secs: i64| json!(secs)).ok_or_else(|| "write it as 2026-01-31T22:00:00Z or in Unix seconds".to_owned())
}

fn between(text: &str) -> Result<Value, String> {
    if text == NONE {
        return Ok(Value::Null);
    }
    let (start, end) = text.split_once('-').ok_or("write it as 22:00-06:00")?;
    Ok(json!({"start": start, "end": end}))
}

fn lines(text: &str) -> Result<Value, String> {
    if text == NONE {
        return Ok(Value::Null);
    }
    text.parse::<u32>().map(|lines| json!(lines)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        terms: Terms,
    }

    #[test]
    fn what_is_given_is_sent_and_none_takes_back() {
        let line = ["t", "--priority", "idle", "--not-before", "2026-01-31T22:00:00Z", "--run-between", "22:00-06:00"];

        let sent = Line::parse_from(line.into_iter().chain(["--max-concurrency", "none"])).terms.to_json();

        let expected = json!({
            "priority": "idle",
            "not_before": 1_769_896_800,
            "run_between": {"start": "22:00", "end": "06:00"},
            "max_concurrency": null,
        });
        assert_eq!(Value::Object(sent), expected);
        assert!(Line::parse_from(["t"]).terms.to_json().is_empty());
    }

    #[test]
    fn what_can_not_be_read_says_how_to_write_it() {
        for (flag, value) in [("--not-before", "tomorrow"), ("--run-between", "22:00"), ("--max-concurrency", "-1")] {
            assert!(Line::try_parse_from(["t", &format!("{flag}={value}")]).is_err(), "{flag} {value}");
        }
    }
}
