//! A request that runs in this process: its log, and the news of it.

use super::{
    follower::Follower,
    head::Head,
    log::{Bounds, End, Log},
    refusal::Refusal,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use wire::numbering::Part;

/// Shared by the task that runs the request and all who follow it.
#[derive(Debug)]
pub(super) struct Running {
    /// SHA-256 of the request, in hex, as far as it is known.
    pub(super) request_sha256: String,
    log: watch::Sender<Log>,
}

impl Running {
    pub(super) fn new(request_sha256: String, bounds: Bounds) -> Self {
        Self { request_sha256, log: watch::Sender::new(Log::new(bounds)) }
    }

    /// Begins to follow, from what comes after event `after`.
    pub(super) fn follow(self: &Arc<Self>, after: u64) -> Result<Follower, Refusal> {
        let mut joined = Err(Refusal::Lost);
        self.log.send_modify(|log| joined = log.join(after));
        joined.map(|id| Follower::new(Arc::clone(self), self.log.subscribe(), id))
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Log)) {
        self.log.send_modify(change);
    }

    /// Reads without telling anybody, unless somebody may wait for it.
    pub(super) fn read(&self, id: super::log::ReaderId) -> Bytes {
        let mut bytes = Bytes::new();
        self.log.send_if_modified(|log| {
            bytes = log.read(id);
            !log.is_replayable()
        });
        bytes
    }

    pub(super) fn open(&self, head: Result<Head, Refusal>) {
        self.change(|log| log.open(head));
    }

    /// Adds to the log, then waits until the next piece may be read.
    pub(super) async fn push(&self, part: Part) {
        self.change(|log| log.push(part));
        self.until(Log::has_room).await;
    }

    pub(super) fn finish(&self, end: End, request_sha256: Option<String>) {
        self.change(|log| log.finish(end, request_sha256));
    }

    pub(super) fn body(&self) -> Option<Bytes> {
        self.log.borrow().body()
    }

    /// Waits until nobody has followed for `grace`. A log that nobody may join any more is not worth the wait.
    pub(super) async fn abandoned(&self, grace: Duration) {
        loop {
            self.until(|log| !log.has_readers()).await;
            let changed = self.until(|log| log.has_readers() || !log.is_replayable());
            if tokio::time::timeout(grace, changed).await.is_err() || !self.log.borrow().has_readers() {
                return;
            }
        }
    }

    async fn until(&self, is_so: impl FnMut(&Log) -> bool) {
        // Its sender is `self`, so it can't end before.
        self.log.subscribe().wait_for(is_so).await.ok();
    }
}
