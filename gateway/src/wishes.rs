//! What a caller may wish for besides the answer, as headers.

use domain::{Error, Money, Result, Wishes};
use http::{HeaderMap, HeaderName};
use std::time::Duration;

const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
const CACHE: HeaderName = HeaderName::from_static("x-tandem-cache");
const EXPLAIN: HeaderName = HeaderName::from_static("x-tandem-explain");
const MAX_COST: HeaderName = HeaderName::from_static("x-tandem-max-cost-usd");
const LONGEST: Duration = Duration::from_secs(86_400);

/// How long the caller wants to wait at most: seconds, or a number with a unit.
///
/// # Errors
/// `InvalidRequest` when it is neither.
pub(crate) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(text) = text(headers, &TIMEOUT)? else { return Ok(None) };
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let read =
        seconds.or_else(|| humantime::parse_duration(text).ok()).filter(|wait| !wait.is_zero() && *wait <= LONGEST);
    read.map(Some)
        .ok_or_else(|| wrong(&TIMEOUT, text, "seconds like `30` or `1.5`, or a span like `1500ms`, up to a day"))
}

/// The wishes of a request whose key allows what `allowed` says: only an operator's key explains.
///
/// # Errors
/// `InvalidRequest` for a value that means nothing.
pub(crate) fn read(headers: &HeaderMap, allowed: Wishes) -> Result<Wishes> {
    let cache = match text(headers, &CACHE)? {
        None => None,
        Some("on") => Some(true),
        Some("off") => Some(false),
        Some(other) => return Err(wrong(&CACHE, other, "`on` or `off`")),
    };
    let budget = match text(headers, &MAX_COST)? {
        None => None,
        Some(text) => Some(money(text).ok_or_else(|| wrong(&MAX_COST, text, "an amount of US dollars like `0.02`"))?),
    };
    let explain = allowed.explain && text(headers, &EXPLAIN)? == Some("1");
    Ok(Wishes { budget, cache, explain })
}

fn money(text: &str) -> Option<Money> {
    let dollars: f64 = text.parse().ok().filter(|dollars| (0.0..=1_000_000.0).contains(dollars))?;
    Some(Money::from_nanos((dollars * 1e9).round() as i64))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(|text| Some(text.trim())).map_err(|_| wrong(name, "not text", "plain text"))
}

fn wrong(name: &HeaderName, given: &str, allowed: &str) -> Error {
    let shown: String = given.chars().take(64).collect();
    Error::invalid(format!("The header `{name}` has the value `{shown}`; allowed is {allowed}."))
        .with_param(name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_timeout_is_seconds_or_a_span() {
        for (text, millis) in [("30", 30_000), ("1.5", 1_500), ("250ms", 250)] {
            assert_eq!(timeout(&headers(TIMEOUT, text)).unwrap(), Some(Duration::from_millis(millis)));
        }
        for text in ["0", "-1", "soon", "1e9", ""] {
            assert_eq!(timeout(&headers(TIMEOUT, text)).unwrap_err().param(), Some(TIMEOUT.as_str()), "{text}");
        }
        assert_eq!(timeout(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn only_an_operators_key_explains() {
        let operator = Wishes { explain: true, ..Wishes::default() };
        let asked = headers(EXPLAIN, "1");

        assert!(read(&asked, operator).unwrap().explain);
        assert!(!read(&asked, Wishes::default()).unwrap().explain);
        assert!(!read(&HeaderMap::new(), operator).unwrap().explain);
    }

    #[test]
    fn a_budget_is_an_amount() {
        let budget = |text: &str| read(&headers(MAX_COST, text), Wishes::default()).map(|wishes| wishes.budget);

        assert_eq!(budget("0.02").unwrap(), Some(Money::from_nanos(20_000_000)));
        assert!(budget("much").is_err() && budget("-1").is_err());
    }
}
