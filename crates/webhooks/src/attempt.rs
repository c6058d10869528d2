//! One attempt: a POST that follows no redirect, and how it went.

use crate::{
    WebhooksSettings,
    guard::{Forbidden, Guard},
    resolver::{Guarded, System},
};
use domain::{AttemptOutcome, Error, Result};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use reqwest::{Client, Response, dns::Resolve, redirect};
use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use store::AttemptSaid;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So much of an answer is read, for the log.
const KEPT_BYTES: usize = 1_024;
/// And so long is waited for it: the status has said all that matters.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
const KEPT_CHARS_OF_ERRORS: usize = 256;
const IDLE_CONNECTIONS: usize = 1;
const IDLE_FOR: Duration = Duration::from_secs(30);

/// What is sent.
pub(crate) struct Message<'a> {
    pub(crate) url: &'a str,
    pub(crate) id: &'a str,
    pub(crate) timestamp: i64,
    pub(crate) signatures: String,
    pub(crate) body: String,
}

/// Sends.
pub(crate) struct Sender {
    guard: Arc<Guard>,
    http: Client,
}

impl Sender {
    pub(crate) fn new(settings: &WebhooksSettings) -> Result<Self> {
        Self::with(settings, Arc::new(System))
    }

    /// One that looks up names with `names`, and judges what it says.
    pub(crate) fn with(settings: &WebhooksSettings, names: Arc<dyn Resolve>) -> Result<Self> {
        let guard = Arc::new(Guard::new(settings));
        let http = Client::builder()
            // A proxy would look up the name a second time.
            .no_proxy()
            .dns_resolver(Guarded::new(Arc::clone(&guard), names))
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("Tandem-Webhooks/", env!("CARGO_PKG_VERSION")))
            .https_only(!settings.allow_http)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(settings.timeout())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_FOR)
            .build()
            .map_err(Error::internal)?;
        Ok(Self { guard, http })
    }

    /// Sends once, and says how it went and how long the receiver wants to be left alone.
    pub(crate) async fn send(&self, message: Message<'_>) -> (AttemptSaid, Option<Duration>) {
        let begun = Instant::now();
        let (outcome, http_status, detail, asked) = self.exchange(message).await;
        let took_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        (AttemptSaid { outcome, http_status, took_ms, detail }, asked)
    }

    async fn exchange(&self, message: Message<'_>) -> (AttemptOutcome, Option<u16>, String, Option<Duration>) {
        // An address instead of a name is not looked up, and the settings may have changed.
        let url = match self.guard.judge_url(message.url) {
            Ok(url) => url,
            Err(error) => return (AttemptOutcome::Forbidden, None, error.message().to_owned(), None),
        };
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.timestamp)
            .header("webhook-signature", message.signatures)
            .body(message.body);
        match request.send().await {
            Ok(response) => {
                let (status, asked) = (response.status(), retry_after(response.headers()));
                (judge(status), Some(status.as_u16()), beginning(response).await, asked)
            }
            Err(error) => (blame(&error), None, reason(&error), None),
        }
    }
}

fn judge(status: StatusCode) -> AttemptOutcome {
    match status {
        StatusCode::GONE => AttemptOutcome::Gone,
        status if status.is_success() => AttemptOutcome::Delivered,
        _ => AttemptOutcome::Refused,
    }
}

fn blame(error: &reqwest::Error) -> AttemptOutcome {
    if causes(error).any(|cause| cause.is::<Forbidden>()) {
        return AttemptOutcome::Forbidden;
    }
    if error.is_timeout() { AttemptOutcome::TimedOut } else { AttemptOutcome::Unreachable }
}

fn reason(error: &reqwest::Error) -> String {
    // The last cause is the one that says something; those before it say where.
    let text = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    text.chars().take(KEPT_CHARS_OF_ERRORS).collect()
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn StdError + 'static)| (*cause).source())
}

async fn beginning(mut response: Response) -> String {
    let mut kept = Vec::with_capacity(KEPT_BYTES);
    let read = async {
        // A body that breaks off is as good as its end.
        while let Ok(Some(chunk)) = response.chunk().await {
            kept.extend_from_slice(&chunk[..chunk.len().min(KEPT_BYTES - kept.len())]);
            if kept.len() == KEPT_BYTES {
                break;
            }
        }
    };
    // What came until then is enough.
    let _ = tokio::time::timeout(BODY_TIMEOUT, read).await;
    String::from_utf8_lossy(&kept).into_owned()
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_by_a_date() {
        let asked = |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]));

        assert_eq!(asked(" 120 "), Some(Duration::from_secs(120)));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(asked(&date).is_some_and(|wait| wait > Duration::from_secs(90)));
        for nothing in ["", "soon", "-1", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            assert_eq!(asked(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_redirect_is_a_refusal() {
        for (status, outcome) in [
            (200, AttemptOutcome::Delivered),
            (204, AttemptOutcome::Delivered),
            (302, AttemptOutcome::Refused),
            (404, AttemptOutcome::Refused),
            (410, AttemptOutcome::Gone),
            (500, AttemptOutcome::Refused),
        ] {
            assert_eq!(judge(StatusCode::from_u16(status).unwrap()), outcome, "{status}");
        }
    }
}
