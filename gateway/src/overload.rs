//! How many requests run at once. Beyond that they wait a little, tenants in turns, and then are refused, before memory or the
//! latency of the others suffers.

use domain::{Error, Result, TenantId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};

/// The `[gateway.overload]` section.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverloadSettings {
    /// How many requests to models run at once.
    pub max_running: usize,
    /// How many more may wait for one of them to end.
    pub max_waiting: usize,
    /// How long they may wait, in milliseconds.
    pub max_wait_ms: u64,
}

impl Default for OverloadSettings {
    fn default() -> Self {
        Self { max_running: 10_000, max_waiting: 1_000, max_wait_ms: 2_000 }
    }
}

/// See the head of this file. Clones share everything.
#[derive(Clone)]
pub(crate) struct Overload {
    settings: OverloadSettings,
    queue: Arc<Mutex<Queue>>,
}

/// A place among the running; given on when it is dropped.
pub(crate) struct Place(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    running: usize,
    waiting: usize,
    /// Tenants that have somebody waiting, in the order of their turns.
    turns: VecDeque<TenantId>,
    by_tenant: HashMap<TenantId, VecDeque<oneshot::Sender<()>>>,
}

impl Overload {
    pub(crate) fn new(settings: OverloadSettings) -> Self {
        Self { settings, queue: Arc::default() }
    }

    /// A place for a request that waits at most until its own deadline, `patience` from now.
    ///
    /// # Errors
    /// 503 when too many wait already, or for too long.
    pub(crate) async fn enter(&self, tenant: &TenantId, patience: Option<Duration>) -> Result<Place> {
        let called = {
            let mut queue = self.queue.lock();
            if queue.running < self.settings.max_running {
                queue.running += 1;
                return Ok(Place(self.queue.clone()));
            }
            if queue.waiting >= self.settings.max_waiting && !queue.make_room(tenant) {
                return Err(overloaded());
            }
            queue.wait(tenant)
        };
        let most = Duration::from_millis(self.settings.max_wait_ms);
        let mut waiter = Waiter { called, tenant, queue: self.queue.clone() };
        match timeout(patience.map_or(most, |patience| patience.min(most)), &mut waiter.called).await {
            Ok(Ok(())) => Ok(waiter.enter()),
            _ => Err(overloaded()),
        }
    }
}

fn overloaded() -> Error {
    Error::unavailable("The server has more requests than it can serve well; try again shortly.")
        .with_code("server_is_overloaded")
        .with_retry_after(Duration::from_secs(1))
}

/// Somebody who waits; who stops waiting leaves the line, and hands on a place that came too late.
struct Waiter<'a> {
    called: oneshot::Receiver<()>,
    tenant: &'a TenantId,
    queue: Arc<Mutex<Queue>>,
}

impl Waiter<'_> {
    fn enter(self) -> Place {
        Place(self.queue.clone())
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.called.close();
        // A call that came while the wait ended: nobody else knows of that place.
        if self.called.try_recv().is_ok() {
            drop(Place(self.queue.clone()));
        } else {
            self.queue.lock().forget_those_gone(self.tenant);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().leave();
    }
}

impl Queue {
    fn wait(&mut self, tenant: &TenantId) -> oneshot::Receiver<()> {
        let (call, called) = oneshot::channel();
        let line = self.by_tenant.entry(tenant.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(tenant.clone());
        }
        line.push_back(call);
        self.waiting += 1;
        called
    }

    /// Takes those of a tenant who no longer listen out of its line: they must not fill the queue.
    fn forget_those_gone(&mut self, tenant: &TenantId) {
        let Some(line) = self.by_tenant.get_mut(tenant) else { return };
        let before = line.len();
        line.retain(|call| !call.is_closed());
        self.waiting -= before - line.len();
        if line.is_empty() {
            self.by_tenant.remove(tenant);
            self.turns.retain(|other| other != tenant);
        }
    }

    /// Gives the place to the next tenant in turn. Those who stopped waiting at this moment are passed over.
    fn leave(&mut self) {
        while let Some(tenant) = self.turns.pop_front() {
            let Some(line) = self.by_tenant.get_mut(&tenant) else { continue };
            let call = line.pop_front();
            if line.is_empty() {
                self.by_tenant.remove(&tenant);
            } else {
                self.turns.push_back(tenant);
            }
            if let Some(call) = call {
                self.waiting -= 1;
                if call.send(()).is_ok() {
                    return;
                }
            }
        }
        self.running -= 1;
    }

    /// Sends the last of the longest line away, if that is longer than the one of `tenant`.
    fn make_room(&mut self, tenant: &TenantId) -> bool {
        let own = self.by_tenant.get(tenant).map_or(0, VecDeque::len);
        let Some((_, longest)) = self.by_tenant.iter_mut().max_by_key(|(_, line)| line.len()) else { return false };
        if longest.len() <= own + 1 {
            return false;
        }
        // Its receiver hears that nobody will call.
        longest.pop_back();
        self.waiting -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn overload(max_running: usize, max_waiting: usize) -> Overload {
        Overload::new(OverloadSettings { max_running, max_waiting, max_wait_ms: 60_000 })
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::from_string(name)
    }

    #[tokio::test]
    async fn tenants_take_turns() {
        let overload = overload(1, 10);
        let first = overload.enter(&tenant("a"), None).await.unwrap();
        let (loud, quiet) = (tenant("a"), tenant("b"));
        let mut second = Box::pin(overload.enter(&loud, None));
        let mut third = Box::pin(overload.enter(&loud, None));
        let mut other = Box::pin(overload.enter(&quiet, None));
        for waiting in [&mut second, &mut third, &mut other] {
            assert!(waiting.now_or_never().is_none());
        }

        drop(first);
        let second = second.now_or_never().expect("its turn").unwrap();
        drop(second);

        assert!((&mut third).now_or_never().is_none(), "the other tenant is next");
        assert!(other.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_those_who_fill_it() {
        let overload = overload(1, 2);
        let _running = overload.enter(&tenant("a"), None).await.unwrap();
        let (loud, quiet) = (tenant("a"), tenant("b"));
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(overload.enter(&loud, None))).collect();
        for each in &mut waiting {
            assert!(each.now_or_never().is_none());
        }

        let refused = overload.enter(&loud, None).now_or_never().expect("an answer at once");
        let mut other = Box::pin(overload.enter(&quiet, None));

        assert_eq!(
            refused.err().and_then(|error| error.code().map(str::to_owned)).as_deref(),
            Some("server_is_overloaded")
        );
        assert!((&mut other).now_or_never().is_none(), "it waits in the place of the last of the longest line");
        let last = waiting.pop().expect("two waited");
        assert!(last.now_or_never().expect("sent away").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_the_deadline_and_no_place_is_lost() {
        let overload = overload(1, 2);
        let running = overload.enter(&tenant("a"), None).await.unwrap();

        for _ in 0..5 {
            assert!(overload.enter(&tenant("b"), Some(Duration::from_millis(5))).await.is_err());
        }
        assert_eq!(overload.queue.lock().waiting, 0, "who has gone does not fill the queue");
        drop(running);

        assert!(overload.enter(&tenant("c"), None).now_or_never().expect("a place").is_ok());
        assert_eq!(overload.queue.lock().running, 0);
    }
}
