//! When a provider says to come back, in every form that providers use.

use chrono::Utc;
use http::{HeaderMap, HeaderName, header::RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// Numbers above this are points in time, not spans.
const UNIX_TIME: f64 = 1e9;
const LIMITS: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];

/// Reads `retry-after-ms`, `retry-after` or, where these are absent, the reset of the limit that is used up.
pub(crate) fn read(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let millis = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok());
    if let Some(millis) = millis.filter(|millis| *millis >= 0.0) {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    text(RETRY_AFTER.as_str()).and_then(duration).or_else(|| reset(headers))
}

/// The longest reset of those limits of which nothing remains.
fn reset(headers: &HeaderMap) -> Option<Duration> {
    let used_up = |name: &HeaderName| {
        let limit = name.as_str().strip_prefix("x-ratelimit-remaining-")?;
        // Some providers add the window: `requests-day`, `tokens-minute`.
        LIMITS.iter().any(|known| limit.starts_with(known)).then(|| format!("x-ratelimit-reset-{limit}"))
    };
    let is_zero = |value: &http::HeaderValue| {
        value.to_str().is_ok_and(|text| text.trim().parse::<f64>().is_ok_and(|left| left <= 0.0))
    };
    headers
        .iter()
        .filter(|(_, value)| is_zero(value))
        .filter_map(|(name, _)| duration(headers.get(used_up(name)?)?.to_str().ok()?.trim()))
        .max()
}

/// Reads seconds (`7`, `1.5`), a Unix time, a Go duration (`6m0s`, `12ms`, `1.5s`) or an HTTP date.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if let Ok(number) = text.parse::<f64>() {
        let seconds =
            if number > UNIX_TIME { (number - Utc::now().timestamp_millis() as f64 / 1000.0).max(0.0) } else { number };
        return Duration::try_from_secs_f64(seconds).ok();
    }
    if let Ok(duration) = humantime::parse_duration(text) {
        return Some(duration);
    }
    if let Some(seconds) = text.strip_suffix('s').and_then(|text| text.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(text).ok().or_else(|| humantime::parse_rfc3339_weak(text).ok())?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::time::UNIX_EPOCH;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn every_form_is_understood() {
        let millis =
            [("7", 7_000), ("1.5", 1_500), ("6m0s", 360_000), ("12ms", 12), ("1.5s", 1_500), ("2m30s", 150_000)];
        for (text, millis) in millis {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_point_in_time_is_a_wait_from_now() {
        let then = SystemTime::now() + Duration::from_secs(100);
        let texts = [
            httpdate::fmt_http_date(then),
            humantime::format_rfc3339(then).to_string(),
            (then.duration_since(UNIX_EPOCH).unwrap().as_secs()).to_string(),
        ];
        for text in texts {
            let wait = duration(&text).unwrap();

            assert!((95..=100).contains(&wait.as_secs()), "{text}: {wait:?}");
        }
        assert_eq!(duration("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_nothing() {
        for text in ["", "soon", "-", "nan", "1e300"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn milliseconds_come_before_seconds() {
        assert_eq!(
            read(&headers(&[("retry-after", "1"), ("retry-after-ms", "250")])),
            Some(Duration::from_millis(250))
        );
    }

    #[test]
    fn without_the_header_the_limit_that_is_used_up_tells() {
        let told = headers(&[
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-remaining-tokens-minute", "0"),
            ("x-ratelimit-reset-tokens-minute", "42s"),
        ]);

        assert_eq!(read(&told), Some(Duration::from_secs(42)));
        assert_eq!(
            read(&headers(&[("x-ratelimit-remaining-requests", "3"), ("x-ratelimit-reset-requests", "1s")])),
            None
        );
    }
}
