//! The shard leases this process holds: one heartbeat for all of them, and a fence on the monotonic clock, so that a
//! process that was frozen, or cut off from the database, stops by itself before somebody else takes over.

use crate::{Core, WorkerSettings, instruments::Step, settings::jittered};
use domain::{BatchStatus, ShardId, lines_of_cap};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{ShardLease, ShardPulse};
use tokio::sync::watch;
use tracing::{info, warn};

/// Why a shard stops before its last line. The later one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// The batch was paused, or its time of the day is over.
    Held,
    /// The worker goes away.
    Drain,
    /// The window of the batch closed.
    Expired,
    /// The batch was cancelled.
    Cancelled,
    /// Somebody else may hold the shard.
    Lost,
}

/// Whether the lines of a shard may call the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pass {
    /// Yes.
    Open,
    /// Not now: the last good heartbeat is too old.
    Paused,
    /// Never again.
    Closed(Ending),
}

/// What the batch of a shard asks for; it may change while the shard is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Orders {
    /// When its window closes.
    pub(crate) expires: Instant,
    /// Lines of the shard that may be in flight at once; none = any number.
    pub(crate) lines: Option<usize>,
}

#[derive(Debug)]
struct Entry {
    epoch: i64,
    good_since: Instant,
    pass: watch::Sender<Pass>,
    orders: watch::Sender<Orders>,
}

/// All leases of this process.
pub(crate) struct Leases {
    lease: Duration,
    held: Arc<Mutex<HashMap<ShardId, Entry>>>,
}

/// A lease that is kept alive until this is dropped.
pub(crate) struct Hold {
    shard: ShardId,
    epoch: i64,
    held: Arc<Mutex<HashMap<ShardId, Entry>>>,
    pass: watch::Sender<Pass>,
    orders: watch::Sender<Orders>,
}

impl Leases {
    pub(crate) fn new(settings: &WorkerSettings) -> Self {
        Self { lease: settings.lease(), held: Arc::default() }
    }

    /// Keeps `lease` alive. `asked_at` is when the claim was sent: the lease began no earlier.
    pub(crate) fn hold(&self, lease: &ShardLease, asked_at: Instant) -> Hold {
        let pass = watch::Sender::new(Pass::Open);
        let batch = &lease.batch;
        let left_ms = batch.expires_at_ms.saturating_sub(batch.read_at_ms);
        let orders = watch::Sender::new(Orders::new(asked_at, left_ms, batch.terms.max_concurrency));
        let entry = Entry { epoch: lease.epoch, good_since: asked_at, pass: pass.clone(), orders: orders.clone() };
        let shard = lease.shard.id.clone();
        if let Some(older) = self.held.lock().insert(shard.clone(), entry) {
            // Claimed again by the process that lost it: the older run must not go on unwatched.
            close(&older.pass, Ending::Lost);
        }
        Hold { shard, epoch: lease.epoch, held: Arc::clone(&self.held), pass, orders }
    }

    fn listed(&self) -> Vec<(ShardId, i64)> {
        self.held.lock().iter().map(|(shard, entry)| (shard.clone(), entry.epoch)).collect()
    }

    /// Takes in the answer to a heartbeat that was sent at `asked_at` for `asked`.
    fn renew(&self, asked: &[(ShardId, i64)], pulses: &[ShardPulse], asked_at: Instant) {
        let pulses: HashMap<_, _> = pulses.iter().map(|pulse| (&pulse.id, pulse)).collect();
        let mut held = self.held.lock();
        for (shard, epoch) in asked {
            let Some(entry) = held.get_mut(shard).filter(|entry| entry.epoch == *epoch) else { continue };
            match pulses.get(shard).filter(|pulse| pulse.alive) {
                Some(pulse) => {
                    entry.good_since = asked_at;
                    if pulse.batch_status == BatchStatus::Cancelling {
                        close(&entry.pass, Ending::Cancelled);
                    } else if pulse.held {
                        close(&entry.pass, Ending::Held);
                    }
                    order(&entry.orders, Orders::new(asked_at, pulse.left_ms, pulse.max_concurrency));
                }
                None => {
                    close(&entry.pass, Ending::Lost);
                }
            }
        }
    }

    /// No new calls two thirds into an unrenewed lease, no calls at all at its end.
    fn judge(&self, now: Instant) {
        for (shard, entry) in self.held.lock().iter() {
            let age = now.saturating_duration_since(entry.good_since);
            if age >= self.lease {
                if close(&entry.pass, Ending::Lost) {
                    warn!(shard.id = %shard, "lease of {shard} ran out without a heartbeat");
                }
            } else {
                pause(&entry.pass, age >= self.lease.mul_f64(2.0 / 3.0));
            }
        }
    }
}

impl Orders {
    fn new(asked_at: Instant, left_ms: i64, max_concurrency: Option<i64>) -> Self {
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        let lines = max_concurrency.map(|cap| usize::try_from(lines_of_cap(cap)).unwrap_or(usize::MAX));
        Self { expires: asked_at + left, lines }
    }

    /// How far the deadlines are apart.
    fn moved(&self, other: &Self) -> Duration {
        self.expires.max(other.expires) - self.expires.min(other.expires)
    }
}

impl Hold {
    /// Follows whether lines may call.
    pub(crate) fn pass(&self) -> watch::Receiver<Pass> {
        self.pass.subscribe()
    }

    /// Follows what the batch asks for.
    pub(crate) fn orders(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }

    /// No new calls from now on.
    pub(crate) fn close(&self, ending: Ending) {
        close(&self.pass, ending);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if held.get(&self.shard).is_some_and(|entry| entry.epoch == self.epoch) {
            held.remove(&self.shard);
        }
    }
}

fn close(pass: &watch::Sender<Pass>, ending: Ending) -> bool {
    pass.send_if_modified(|pass| {
        let closes = *pass < Pass::Closed(ending);
        if closes {
            *pass = Pass::Closed(ending);
        }
        closes
    })
}

/// The way of a question makes every deadline a little different: that is no news.
const NO_NEWS: Duration = Duration::from_millis(500);

fn order(orders: &watch::Sender<Orders>, next: Orders) {
    orders.send_if_modified(|known| {
        let changes = known.lines != next.lines || known.moved(&next) > NO_NEWS;
        if changes {
            *known = next;
        }
        changes
    });
}

fn pause(pass: &watch::Sender<Pass>, paused: bool) {
    let next = if paused { Pass::Paused } else { Pass::Open };
    pass.send_if_modified(|pass| {
        let changes = *pass != next && !matches!(pass, Pass::Closed(_));
        if changes {
            *pass = next;
        }
        changes
    });
}

/// Sends one heartbeat for all leases, over and over, and at once when a batch was changed in this process.
pub(crate) async fn beat(core: Arc<Core>) {
    let hint = core.store.control_hint();
    loop {
        // Registered before the heartbeat, so that a change meanwhile is not missed.
        let mut hinted = std::pin::pin!(hint.notified());
        hinted.as_mut().enable();
        pulse(&core).await;
        tokio::select! {
            () = tokio::time::sleep(jittered(core.settings.heartbeat_ms)) => {}
            () = hinted => {}
        }
    }
}

async fn pulse(core: &Core) {
    let asked = core.leases.listed();
    if asked.is_empty() {
        return;
    }
    let asked_at = Instant::now();
    let answer = core.store.heartbeat(&core.id, core.settings.lease_ms, &asked);
    let answer = tokio::time::timeout(core.settings.lease(), answer);
    match core.instruments.time(Step::Heartbeat, answer).await {
        Ok(Ok(pulses)) => core.leases.renew(&asked, &pulses, asked_at),
        Ok(Err(error)) => warn!(error = %error.chain(), "heartbeat failed"),
        Err(_) => info!("heartbeat was not answered in time"),
    }
}

/// Watches the age of the last good heartbeat, over and over.
pub(crate) async fn fence(core: Arc<Core>) {
    let step = (core.settings.lease() / 30).max(Duration::from_millis(10));
    loop {
        tokio::time::sleep(step).await;
        core.leases.judge(Instant::now());
    }
}
