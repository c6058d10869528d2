//! An issuer's keys in memory. A token with an unknown key may be the first after a rotation, so they are read again, but
//! one reading at a time and never more often than the interval: tokens are free to make up.

use super::{
    Algorithm, IssuerUrl,
    discovery::{Discovery, Keys},
};
use arc_swap::ArcSwapOption;
use domain::{Error, Result};
use jsonwebtoken::DecodingKey;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// The keys of one issuer.
#[derive(Clone)]
pub(super) struct KeySet(Arc<Inner>);

struct Inner {
    discovery: Discovery,
    /// As of the last reading that succeeded.
    snapshot: ArcSwapOption<Keys>,
    /// When the last reading began, whether it succeeded or not; the lock lets one run at a time.
    began: Mutex<Option<Instant>>,
    min_interval: Duration,
}

impl KeySet {
    pub(super) fn new(issuer: IssuerUrl, min_interval: Duration) -> Self {
        let discovery = Discovery::new(issuer);
        Self(Arc::new(Inner { discovery, snapshot: ArcSwapOption::empty(), began: Mutex::new(None), min_interval }))
    }

    /// The key of that name for that algorithm.
    pub(super) async fn find(&self, kid: &str, algorithm: Algorithm) -> Result<Option<Arc<DecodingKey>>> {
        let name = (kid.to_owned(), algorithm);
        if let Some(key) = self.known(&name) {
            return Ok(Some(key));
        }
        let failure = self.refresh().await.err();
        if let Some(error) = &failure {
            tracing::warn!(error = %error.chain(), "an issuer's keys can't be read");
        }
        match self.known(&name) {
            None if self.0.snapshot.load().is_none() => Err(failure.unwrap_or_else(never_read)),
            key => Ok(key),
        }
    }

    /// Reads the keys, unless somebody has done so within the interval. A caller who leaves does not end the reading: else
    /// whoever comes and goes could keep it from ever ending.
    pub(super) async fn refresh(&self) -> Result<()> {
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move { inner.read().await }).await.map_err(Error::internal)?
    }

    fn known(&self, name: &(String, Algorithm)) -> Option<Arc<DecodingKey>> {
        self.0.snapshot.load().as_ref()?.get(name).cloned()
    }
}

impl Inner {
    async fn read(&self) -> Result<()> {
        let mut began = self.began.lock().await;
        if began.is_some_and(|at| at.elapsed() < self.min_interval) {
            return Ok(());
        }
        *began = Some(Instant::now());
        self.snapshot.store(Some(Arc::new(self.discovery.keys().await?)));
        Ok(())
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("discovery", &self.0.discovery).finish_non_exhaustive()
    }
}

fn never_read() -> Error {
    Error::unavailable("The keys of the token's issuer could not be read yet; try again shortly.")
}
