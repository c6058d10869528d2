//! The keys that work, looked up by SHA-256 in a snapshot that is read again every few seconds, and the tenants that do.

use super::{Digested, bearer::refused};
use arc_swap::ArcSwap;
use chrono::Utc;
use domain::{Caller, Error, KeyId, Result, TenantId};
use foldhash::{HashMap, HashSet};
use sha2::{Digest, Sha256};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use store::{KeyRecord, Store};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

/// What every secret begins with; anything else is refused without a look.
const PREFIX: &str = "tdm_";
const MAX_SECRET_BYTES: usize = 256;

/// When a key was last used, in milliseconds; 0 = not since it was last written down.
type LastUse = Arc<AtomicI64>;

/// A secret that works.
struct Known {
    digest: Digested,
    caller: Arc<Caller>,
    expires_at_ms: Option<i64>,
    last_use: LastUse,
}

#[derive(Default)]
struct Snapshot {
    secrets: HashMap<Digested, Known>,
    uses: HashMap<KeyId, LastUse>,
    names: HashMap<String, TenantId>,
    tenants: HashSet<TenantId>,
}

/// The active keys and tenants, as of the last reading.
pub(super) struct Keys {
    store: Store,
    snapshot: ArcSwap<Snapshot>,
    /// When the last reading that succeeded began; the lock lets one reading run at a time.
    read_at: Mutex<Option<Instant>>,
    miss_interval: Duration,
}

impl Keys {
    pub(super) fn new(store: Store, miss_interval: Duration) -> Self {
        Self { store, snapshot: ArcSwap::default(), read_at: Mutex::new(None), miss_interval }
    }

    /// Reads keys and tenants again.
    pub(super) async fn refresh(&self) -> Result<()> {
        let mut read_at = self.read_at.lock().await;
        self.read(&mut read_at).await
    }

    /// Whose secret this is. One that is not in the snapshot may be new, so it is looked for once more; such looks are
    /// shared by everyone who waits and spaced apart, so that guessing keys does not load the database.
    pub(super) async fn caller(&self, secret: &str) -> Result<Arc<Caller>> {
        let digest = digest(secret).ok_or_else(unknown)?;
        if let Some(caller) = self.of(&digest) {
            return Ok(caller);
        }
        self.refresh_after(Instant::now()).await.map_err(|error| {
            Error::unavailable("Your API key can't be checked right now; try again shortly.").with_source(error)
        })?;
        self.of(&digest).ok_or_else(unknown)
    }

    /// Whose secret this is, if it is in the snapshot.
    pub(super) fn known(&self, secret: &str) -> Option<Arc<Caller>> {
        self.of(&digest(secret)?)
    }

    /// The tenant of that name, if there is one that is not disabled. A missing one may be new.
    pub(super) async fn tenant(&self, name: &str) -> Result<Option<TenantId>> {
        if let Some(tenant) = self.snapshot.load().names.get(name) {
            return Ok(Some(tenant.clone()));
        }
        self.refresh_after(Instant::now()).await.map_err(|error| {
            Error::unavailable("Your token can't be checked right now; try again shortly.").with_source(error)
        })?;
        Ok(self.snapshot.load().names.get(name).cloned())
    }

    /// Whether the tenant exists and is not disabled.
    pub(super) fn is_active(&self, tenant: &TenantId) -> bool {
        self.snapshot.load().tenants.contains(tenant)
    }

    /// Writes down when keys were last used: one statement for all that were since the last time.
    pub(super) async fn note_uses(&self) -> Result<()> {
        let snapshot = self.snapshot.load_full();
        let taken = |(id, at): (&KeyId, &LastUse)| match at.swap(0, Ordering::Relaxed) {
            0 => None,
            at_ms => Some((id.clone(), at_ms)),
        };
        let uses: Vec<_> = snapshot.uses.iter().filter_map(taken).collect();
        let outcome = self.store.note_key_uses(&uses).await;
        if outcome.is_err() {
            for (id, at_ms) in &uses {
                snapshot.uses.get(id).inspect(|at| _ = at.fetch_max(*at_ms, Ordering::Relaxed));
            }
        }
        outcome
    }

    fn of(&self, digest: &Digested) -> Option<Arc<Caller>> {
        let snapshot = self.snapshot.load();
        let known = snapshot.secrets.get(digest)?;
        let now_ms = Utc::now().timestamp_millis();
        let is_same: bool = known.digest.ct_eq(digest).into();
        let works = is_same && known.expires_at_ms.is_none_or(|end| now_ms < end);
        works.then(|| {
            known.last_use.store(now_ms, Ordering::Relaxed);
            Arc::clone(&known.caller)
        })
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
        let tenants = self.store.active_tenants().await?;
        let mut uses = self.snapshot.load().uses.clone();
        let secrets: HashMap<_, _> = keys.into_iter().map(|key| known(key, &mut uses)).collect();
        // A key that has ceased is kept until its last use is written down.
        let working: HashSet<_> = secrets.values().filter_map(|known| known.caller.key.as_ref()).collect();
        uses.retain(|id, at| working.contains(id) || at.load(Ordering::Relaxed) != 0);
        let ids = tenants.iter().map(|tenant| tenant.id.clone()).collect();
        let names = tenants.into_iter().map(|tenant| (tenant.name, tenant.id)).collect();
        self.snapshot.store(Arc::new(Snapshot { secrets, uses, names, tenants: ids }));
        *read_at = Some(begun);
        Ok(())
    }
}

fn known(key: KeyRecord, uses: &mut HashMap<KeyId, LastUse>) -> (Digested, Known) {
    let KeyRecord { id, tenant, scopes, models, expires_at_ms, secret_sha256: digest } = key;
    let last_use = Arc::clone(uses.entry(id.clone()).or_default());
    let caller = Arc::new(Caller { tenant, key: Some(id), principal: None, scopes, models });
    (digest, Known { digest, caller, expires_at_ms, last_use })
}

/// By what a secret is known, if it can be one.
fn digest(secret: &str) -> Option<Digested> {
    let can_be = secret.starts_with(PREFIX) && secret.len() <= MAX_SECRET_BYTES;
    can_be.then(|| Sha256::digest(secret.as_bytes()).into())
}

fn unknown() -> Error {
    refused("Incorrect API key provided. It does not exist, has ended or was revoked; an operator can make a new one.")
}
