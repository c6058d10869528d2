//! Who asks: a bearer key, looked up by its SHA-256 in a snapshot of the active keys. No database on the hot path.

use crate::{app::App, replay};
use arc_swap::ArcSwap;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use chassis::{http::ApiError, trace::TraceContext};
use chrono::Utc;
use domain::{Caller, Class, Error, Kind, RequestContext, RequestId, Result, Scope, Wishes};
use http::{Extensions, HeaderMap, HeaderName, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{KeyRecord, Store};
use tokio::sync::Mutex;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

type Digested = [u8; 32];
type Snapshot = HashMap<Digested, Known>;

/// A key that works.
#[derive(Clone)]
struct Known {
    caller: Arc<Caller>,
    expires_at_ms: Option<i64>,
}

/// The active keys, as of the last reading.
pub(crate) struct Keys {
    store: Store,
    snapshot: ArcSwap<Snapshot>,
    /// When the last reading that succeeded began; the lock lets one reading run at a time.
    read_at: Mutex<Option<Instant>>,
    miss_interval: Duration,
}

impl Keys {
    pub(crate) fn new(store: Store, miss_interval: Duration) -> Self {
        Self { store, snapshot: ArcSwap::default(), read_at: Mutex::new(None), miss_interval }
    }

    /// Reads the keys again.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let mut read_at = self.read_at.lock().await;
        self.read(&mut read_at).await
    }

    /// The key with this secret. One that is not in the snapshot may be new, so it is looked for once more; such
    /// looks are shared by everyone who waits and spaced apart, so that guessing keys does not load the database.
    async fn find(&self, secret: &str) -> Result<Option<Arc<Caller>>> {
        let digest = Sha256::digest(secret.as_bytes()).into();
        if let Some(key) = self.known(&digest) {
            return Ok(Some(key));
        }
        self.refresh_after(Instant::now()).await?;
        Ok(self.known(&digest))
    }

    fn known(&self, digest: &Digested) -> Option<Arc<Caller>> {
        let snapshot = self.snapshot.load();
        let known = snapshot.get(digest)?;
        let works = known.expires_at_ms.is_none_or(|end| Utc::now().timestamp_millis() < end);
        works.then(|| known.caller.clone())
    }

    async fn refresh_after(&self, missed_at: Instant) -> Result<()> {
        let mut read_at = self.read_at.lock().await;
        if let Some(at) = *read_at {
            if at > missed_at {
                return Ok(());
            }
            tokio::time::sleep(self.miss_interval.saturating_sub(at.elapsed())).await;
        }
        self.read(&mut read_at).await
    }

    async fn read(&self, read_at: &mut Option<Instant>) -> Result<()> {
        let begun = Instant::now();
        let keys = self.store.active_keys().await?;
        let snapshot = keys.into_iter().map(|key| (key.secret_sha256, to_known(key))).collect();
        self.snapshot.store(Arc::new(snapshot));
        *read_at = Some(begun);
        Ok(())
    }
}

fn to_known(key: KeyRecord) -> Known {
    let KeyRecord { id, tenant, scopes, models, expires_at_ms, secret_sha256: _ } = key;
    Known { caller: Arc::new(Caller { tenant, key: Some(id), principal: None, scopes, models }), expires_at_ms }
}

/// Lets a request with an active key through, with its [`Caller`] and [`RequestContext`] attached.
pub(crate) async fn require_key(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let secret = secret(request.headers())?;
    let caller = app.gateway.keys.find(secret).await.map_err(|error| {
        Error::unavailable("Your API key can't be checked right now; try again shortly.").with_source(error)
    })?;
    let caller = caller.ok_or_else(|| {
        refused("Incorrect API key provided. It does not exist or was revoked; an operator can make a new one.")
    })?;
    let context = context(request.extensions(), &caller);
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(context);
    replay::once(&app, request, next).await
}

/// The key in whichever header the caller's SDK writes it.
fn secret(headers: &HeaderMap) -> Result<&str> {
    match headers.get(API_KEY).filter(|_| !headers.contains_key(AUTHORIZATION)) {
        Some(key) => key
            .to_str()
            .ok()
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .ok_or_else(|| refused("The x-api-key header has no key in it.")),
        None => bearer(headers),
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str> {
    let header = headers.get(AUTHORIZATION).ok_or_else(|| {
        refused("You didn't provide an API key. Send it in a header of the form `Authorization: Bearer YOUR_KEY`.")
    })?;
    header
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim())
        .filter(|secret| !secret.is_empty())
        .ok_or_else(|| refused("The Authorization header is not of the form `Authorization: Bearer YOUR_KEY`."))
}

fn refused(message: &str) -> Error {
    Error::new(Kind::Unauthenticated, message).with_code("invalid_api_key")
}

fn context(extensions: &Extensions, caller: &Caller) -> RequestContext {
    RequestContext {
        request_id: extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::generate),
        tenant: caller.tenant.clone(),
        key: caller.key.clone(),
        class: Class::Interactive,
        traceparent: extensions.get::<TraceContext>().map(TraceContext::traceparent),
        deadline: None,
        // What the key allows; what is wished stands in the request.
        wishes: Wishes { explain: caller.scopes.contains(Scope::Admin), ..Wishes::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_scheme_may_be_written_in_any_case() {
        assert_eq!(bearer(&headers("bEARER  abc")).unwrap(), "abc");
    }

    #[test]
    fn anthropics_header_will_do() {
        let key = HeaderMap::from_iter([(API_KEY, HeaderValue::from_static("abc"))]);

        assert_eq!(secret(&key).unwrap(), "abc");
    }

    #[test]
    fn other_schemes_and_empty_secrets_are_refused() {
        for value in ["Basic abc", "Bearer", "Bearer ", "abc", ""] {
            assert_eq!(bearer(&headers(value)).unwrap_err().code(), Some("invalid_api_key"), "{value}");
        }
    }
}
