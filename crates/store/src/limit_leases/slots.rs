//! When uses count: the second in which one by the minute is booked, the day or month of a budget.

use chrono::{DateTime, Datelike, NaiveTime};
use domain::LimitKind;

/// How long a use counts against a limit by the minute.
pub(crate) const WINDOW_MS: i64 = 60_000;
/// Uses are booked by the second, at its end: never earlier than they happened.
const SLOT_MS: i64 = 1_000;

/// Where a use at `now` is booked.
pub(crate) fn slot(kind: LimitKind, now: i64) -> i64 {
    let Some(time) = DateTime::from_timestamp_millis(now) else { return now };
    let midnight = |date: chrono::NaiveDate| date.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
    match kind {
        LimitKind::UsdPerDay => midnight(time.date_naive()),
        LimitKind::UsdPerMonth => midnight(time.date_naive().with_day(1).unwrap_or(time.date_naive())),
        LimitKind::UsdTotal => 0,
        _ => (now / SLOT_MS + 1) * SLOT_MS,
    }
}

/// When a budget begins anew; never for a total.
pub(super) fn period_end(kind: LimitKind, now: i64) -> Option<i64> {
    let begin = DateTime::from_timestamp_millis(slot(kind, now))?;
    let end = match kind {
        LimitKind::UsdPerDay => begin.checked_add_days(chrono::Days::new(1)),
        LimitKind::UsdPerMonth => begin.checked_add_months(chrono::Months::new(1)),
        _ => None,
    };
    end.map(|end| end.timestamp_millis())
}
