//! What a caller is told of limits: OpenAI's errors and `x-ratelimit-*` headers.

use super::account::{Refused, Why};
use crate::{limits::meter::RateView, values::Values};
use domain::{Error, Kind, LimitKind, Money};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// What the limits by the minute say, for the headers of an answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    pub(crate) requests: Option<RateView>,
    pub(crate) tokens: Option<RateView>,
}

impl Rates {
    /// Writes them as OpenAI does: numbers, and spans as Go prints them.
    pub(crate) fn write(&self, values: &mut Values, headers: &mut HeaderMap) {
        for (names, view) in [(REQUESTS, self.requests), (TOKENS, self.tokens)] {
            let Some(view) = view else { continue };
            let [limit, remaining, reset] = names;
            headers.insert(limit, values.number(view.limit));
            headers.insert(remaining, values.number(view.remaining));
            headers.insert(reset, go_span(values, view.reset));
        }
    }
}

/// A span as Go prints it: `12ms`, `1s`, `6m0s`. Rounded up, so that nobody comes back early. Without the formatter: it is twice in
/// each answer.
fn go_span(values: &mut Values, span: Duration) -> HeaderValue {
    let ms = u64::try_from(span.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
    let secs = ms.div_ceil(1_000);
    let parts: &[(u64, &str)] = match secs {
        _ if ms < 1_000 => &[(ms, "ms")],
        ..60 => &[(secs, "s")],
        60..3_600 => &[(secs / 60, "m"), (secs % 60, "s")],
        _ => &[(secs / 3_600, "h"), (secs / 60 % 60, "m"), (secs % 60, "s")],
    };
    for (amount, unit) in parts {
        values.push_number(*amount);
        values.push(unit);
    }
    values.pushed().expect("digits and letters")
}

/// The error that a refusal is.
pub(crate) fn error(refused: &Refused) -> Error {
    let limit = &refused.limit;
    let whose = match &limit.model {
        Some(model) => format!("this {} and the model `{model}`", limit.subject_kind.as_str()),
        None => format!("this {}", limit.subject_kind.as_str()),
    };
    let what = limit.kind.as_str();
    let amount = amount(limit.kind, limit.amount);
    let need = self::amount(limit.kind, refused.need);
    if limit.kind.is_budget() {
        return budget_error(refused, &whose, &amount);
    }
    let message = match refused.why {
        Why::TooLarge => format!(
            "The request needs {need}, more than the limit of {amount} ({what}) of {whose} allows at all. Shorten the \
             prompt or lower `max_tokens`."
        ),
        _ => {
            format!("The limit of {amount} ({what}) of {whose} is reached; the request needs {need}. Try again later.")
        }
    };
    let retry_after = match refused.why {
        Why::Exhausted(wait) => wait,
        _ => None,
    };
    Error::new(Kind::RateLimited { retry_after }, message).with_code("rate_limit_exceeded")
}

fn budget_error(refused: &Refused, whose: &str, amount: &str) -> Error {
    let kind = refused.limit.kind.as_str();
    if refused.why == Why::Unpriced {
        let message = format!(
            "The price of this model is not known, and {whose} has a budget ({kind}). Ask your operator to state the \
             model's price; 0 means that it is free."
        );
        return Error::new(Kind::PermissionDenied, message).with_code("model_not_priced").with_param("model");
    }
    let need = self::amount(refused.limit.kind, refused.need);
    let message = format!(
        "The budget of {amount} ({kind}) of {whose} does not cover this request, which may cost up to {need}. Ask your \
         operator for a larger budget, or lower `max_tokens`."
    );
    let retry_after = match refused.why {
        Why::Exhausted(wait) => wait,
        _ => None,
    };
    Error::new(Kind::RateLimited { retry_after }, message).with_code("insufficient_quota")
}

fn amount(kind: LimitKind, amount: i64) -> String {
    match kind {
        LimitKind::RequestsPerMinute | LimitKind::ConcurrentRequests => format!("{amount} requests"),
        LimitKind::TokensPerMinute | LimitKind::EnqueuedTokens => format!("{amount} tokens"),
        LimitKind::UsdPerDay | LimitKind::UsdPerMonth | LimitKind::UsdTotal => Money::from_nanos(amount).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_printed_as_go_prints_them() {
        for (ms, text) in
            [(0, "0ms"), (12, "12ms"), (1_000, "1s"), (1_001, "2s"), (360_000, "6m0s"), (3_661_000, "1h1m1s")]
        {
            assert_eq!(go_span(&mut Values::new(), Duration::from_millis(ms)), text);
        }
    }
}
