//! The requests with keys that run in this process, by key; and the tasks that run them.

use super::{ReplaySettings, follower::Follower, log::Bounds, refusal::Refusal, running::Running};
use domain::ReplicaId;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use store::{IdempotencyKey, Store};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const PURGE_PERIOD: Duration = Duration::from_secs(60);
const PURGE_ROWS: i64 = 500;
/// How long keys of requests that were cut at the end of a drain may take to be released.
const RELEASE: Duration = Duration::from_secs(1);

/// What a request with a key is.
pub(super) enum Place {
    /// The first: somebody has to run it.
    First(Arc<Running>, Follower),
    /// One like it runs.
    Later(Follower),
}

pub(crate) struct Replays {
    pub(super) settings: ReplaySettings,
    /// The requests that run, and their ends.
    pub(super) tasks: TaskTracker,
    running: Mutex<HashMap<IdempotencyKey, Arc<Running>>>,
    bounds: Bounds,
    replica: ReplicaId,
    attempts: AtomicU64,
}

impl Replays {
    pub(crate) fn new(settings: ReplaySettings) -> Self {
        let bounds =
            Bounds { log_bytes: settings.max_body_bytes, all_bytes: settings.max_running_bytes, held: Arc::default() };
        Self {
            settings,
            tasks: TaskTracker::new(),
            running: Mutex::default(),
            bounds,
            replica: ReplicaId::generate(),
            attempts: AtomicU64::new(0),
        }
    }

    /// Finds the request that runs under `key`, or makes it.
    pub(super) fn enter(&self, key: &IdempotencyKey, request_sha256: &str, after: u64) -> Result<Place, Refusal> {
        let mut all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match all.entry(key.clone()) {
            Entry::Occupied(known) if known.get().request_sha256 != request_sha256 => Err(Refusal::Reused),
            Entry::Occupied(known) => known.get().follow(after).map(Place::Later),
            Entry::Vacant(free) => {
                let running = Arc::new(Running::new(request_sha256.to_owned(), self.bounds.clone()));
                let follower = running.follow(after)?;
                free.insert(Arc::clone(&running));
                Ok(Place::First(running, follower))
            }
        }
    }

    /// From now on the table says what became of the request.
    pub(super) fn forget(&self, key: &IdempotencyKey) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Names an attempt to run a request; no two have the same name.
    pub(super) fn owner(&self) -> String {
        format!("{}/{}", self.replica, self.attempts.fetch_add(1, Ordering::Relaxed))
    }

    /// Removes what expired, until the drain begins.
    pub(crate) async fn purge(&self, store: &Store, begun: &CancellationToken) {
        while begun.run_until_cancelled(tokio::time::sleep(PURGE_PERIOD)).await.is_some() {
            if let Err(error) = purge_all(store).await {
                tracing::warn!(error = %error.chain(), "expired outcomes can't be removed; it is tried again");
            }
        }
    }

    /// Waits for the requests that still run; those that are cut at the end of the drain release their keys.
    pub(crate) async fn drained(&self, expired: &CancellationToken) {
        self.tasks.close();
        if expired.run_until_cancelled(self.tasks.wait()).await.is_none()
            && tokio::time::timeout(RELEASE, self.tasks.wait()).await.is_err()
        {
            tracing::warn!("{} requests with an idempotency key keep it until its lease lapses", self.tasks.len());
        }
    }
}

async fn purge_all(store: &Store) -> domain::Result<()> {
    while store.purge_idempotent(PURGE_ROWS).await? >= PURGE_ROWS.unsigned_abs() {}
    Ok(())
}
