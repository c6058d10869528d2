//! When and how much of a batch may run, as requests say it.

use super::invalid;
use domain::{DailyWindow, Priority, Result};
use serde::Deserialize;

/// More lines than any fleet has in flight.
const MAX_CONCURRENCY: i64 = 100_000;
/// The year 2100, in Unix seconds: what is later was meant as milliseconds.
const LATEST_SECS: i64 = 4_102_444_800;

/// A part of the day, as `{"start": "22:00", "end": "06:00"}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunBetween {
    start: String,
    end: String,
}

pub fn priority(word: &str) -> Result<Priority> {
    Priority::parse(word).ok_or_else(|| {
        let allowed = Priority::ALL.map(Priority::as_str).join("', '");
        let shown: String = word.chars().take(64).collect();
        invalid("priority", format!("Invalid value: '{shown}'. Supported values are: '{allowed}'."))
    })
}

/// A time in Unix seconds, as milliseconds.
pub fn time(param: &str, secs: i64) -> Result<i64> {
    if (0..=LATEST_SECS).contains(&secs) {
        return Ok(secs * 1_000);
    }
    Err(invalid(param, format!("Invalid value: {secs}. `{param}` is a time in Unix seconds, up to {LATEST_SECS}.")))
}

pub fn run_between(given: &RunBetween) -> Result<DailyWindow> {
    DailyWindow::parse(&given.start, &given.end).ok_or_else(|| {
        let text =
            "`run_between` has two different times of day in UTC, as {\"start\": \"22:00\", \"end\": \"06:00\"}.";
        invalid("run_between", text.to_owned())
    })
}

pub fn max_concurrency(lines: i64) -> Result<i64> {
    if (1..=MAX_CONCURRENCY).contains(&lines) {
        return Ok(lines);
    }
    let text = format!("Invalid value: {lines}. `max_concurrency` must be from 1 to {MAX_CONCURRENCY} lines.");
    Err(invalid("max_concurrency", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_is_named() {
        let between = |start: &str, end: &str| run_between(&RunBetween { start: start.into(), end: end.into() });

        for (error, param) in [
            (priority("first").unwrap_err(), "priority"),
            (time("not_before", -1).unwrap_err(), "not_before"),
            (time("expires_at", 1_790_000_000_000).unwrap_err(), "expires_at"),
            (between("22", "06:00").unwrap_err(), "run_between"),
            (between("06:00", "06:00").unwrap_err(), "run_between"),
            (max_concurrency(0).unwrap_err(), "max_concurrency"),
            (max_concurrency(100_001).unwrap_err(), "max_concurrency"),
        ] {
            assert_eq!(error.param(), Some(param));
        }
        assert!(between("22:00", "06:00").is_ok());
    }
}
