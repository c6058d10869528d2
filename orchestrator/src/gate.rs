//! How many calls a deployment carries at once, and who waits for one to end: interactive callers before batch, a bounded
//! number for a bounded time.

use domain::{Class, Error, Kind, Result};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// What it says when nothing has ended yet that it could learn from.
const FIRST_GUESS: Duration = Duration::from_secs(1);
const NEWEST: f64 = 0.1;

/// The gate of one deployment. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    limits: GateLimits,
    state: Mutex<State>,
}

/// How much a gate lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GateLimits {
    pub(crate) max_concurrency: usize,
    pub(crate) max_queue: usize,
    pub(crate) max_wait: Duration,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    interactive: VecDeque<oneshot::Sender<Slot>>,
    batch: VecDeque<oneshot::Sender<Slot>>,
    /// Seconds between two slots that became free, on average.
    pace: Option<f64>,
    last_free: Option<Instant>,
}

/// The right to one call; ends with its drop.
#[derive(Debug)]
pub(crate) struct Slot(Option<Arc<Shared>>);

impl Gate {
    /// A gate; without limits it is open.
    pub(crate) fn new(limits: Option<GateLimits>) -> Self {
        Self(limits.map(|limits| Arc::new(Shared { limits, state: Mutex::default() })))
    }

    pub(crate) fn limits(&self) -> Option<GateLimits> {
        self.0.as_ref().map(|shared| shared.limits)
    }

    /// How many calls hold a slot and how many wait for one; an open gate counts nobody.
    pub(crate) fn load(&self) -> Option<(usize, usize)> {
        let mut state = self.0.as_ref()?.state.lock();
        state.forget_gone();
        Some((state.running, state.ahead_of(Class::Batch)))
    }

    /// A slot, if one is free and nobody with a better right waits.
    pub(crate) fn try_enter(&self, class: Class) -> Option<Slot> {
        let Some(shared) = &self.0 else { return Some(Slot(None)) };
        let mut state = shared.state.lock();
        let is_next = state.interactive.is_empty() && (class == Class::Interactive || state.batch.is_empty());
        (is_next && state.running < shared.limits.max_concurrency).then(|| {
            state.running += 1;
            Slot(Some(shared.clone()))
        })
    }

    /// Waits for a slot.
    ///
    /// # Errors
    /// `RateLimited` with a true `retry_after` when the queue is full or the wait was in vain.
    pub(crate) async fn enter(&self, class: Class, deadline: Option<std::time::Instant>) -> Result<Slot> {
        if let Some(slot) = self.try_enter(class) {
            return Ok(slot);
        }
        let Some(shared) = &self.0 else { return Ok(Slot(None)) };
        let turn = {
            let mut state = shared.state.lock();
            state.forget_gone();
            let ahead = state.ahead_of(class);
            if ahead >= shared.limits.max_queue {
                return Err(full(state.expected_wait(ahead)));
            }
            state.enqueue(class)
        };
        shared.hand_out();
        let end = Instant::now() + shared.limits.max_wait;
        let end = deadline.map_or(end, |deadline| end.min(deadline.into()));
        match timeout_at(end, turn).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => {
                let mut state = shared.state.lock();
                state.forget_gone();
                let ahead = state.ahead_of(class);
                Err(full(state.expected_wait(ahead)))
            }
        }
    }
}

impl Shared {
    /// Gives free slots to those who wait.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let waiting = {
                let mut state = self.state.lock();
                if state.running >= self.limits.max_concurrency {
                    return;
                }
                let Some(waiting) = state.interactive.pop_front().or_else(|| state.batch.pop_front()) else { return };
                state.running += 1;
                waiting
            };
            // A slot that nobody takes is dropped here, which frees it again.
            if waiting.send(Slot(Some(self.clone()))).is_err() {
                tracing::trace!("a caller left the queue");
            }
        }
    }
}

impl State {
    fn enqueue(&mut self, class: Class) -> oneshot::Receiver<Slot> {
        let (sender, receiver) = oneshot::channel();
        match class {
            Class::Interactive => self.interactive.push_back(sender),
            Class::Batch => self.batch.push_back(sender),
        }
        receiver
    }

    fn forget_gone(&mut self) {
        self.interactive.retain(|waiting| !waiting.is_closed());
        self.batch.retain(|waiting| !waiting.is_closed());
    }

    fn ahead_of(&self, class: Class) -> usize {
        match class {
            Class::Interactive => self.interactive.len(),
            Class::Batch => self.interactive.len() + self.batch.len(),
        }
    }

    fn expected_wait(&self, ahead: usize) -> Duration {
        let pace = self.pace.map_or(FIRST_GUESS, Duration::from_secs_f64);
        pace.saturating_mul(u32::try_from(ahead + 1).unwrap_or(u32::MAX)).max(FIRST_GUESS)
    }

    fn saw_free(&mut self, now: Instant) {
        if let Some(last) = self.last_free.replace(now) {
            let gap = now.saturating_duration_since(last).as_secs_f64();
            self.pace = Some(self.pace.map_or(gap, |pace| pace + NEWEST * (gap - pace)));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        {
            let mut state = shared.state.lock();
            state.running -= 1;
            state.saw_free(Instant::now());
        }
        shared.hand_out();
    }
}

fn full(wait: Duration) -> Error {
    // Whole seconds, rounded up: a client that comes back too early waits in vain.
    let wait = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    Error::new(
        Kind::RateLimited { retry_after: Some(wait) },
        format!("The model has as many requests as it can serve; try again in {} s.", wait.as_secs()),
    )
    .with_code("model_at_capacity")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn gate(max_concurrency: usize, max_queue: usize) -> Gate {
        Gate::new(Some(GateLimits { max_concurrency, max_queue, max_wait: Duration::from_secs(5) }))
    }

    #[tokio::test(start_paused = true)]
    async fn interactive_is_never_behind_batch() {
        let gate = gate(1, 10);
        let slot = gate.try_enter(Class::Batch).unwrap();
        let mut batch = pin!(gate.enter(Class::Batch, None));
        assert!(futures::poll!(&mut batch).is_pending());
        let mut interactive = pin!(gate.enter(Class::Interactive, None));
        assert!(futures::poll!(&mut interactive).is_pending());

        drop(slot);

        let slot = interactive.await.unwrap();
        assert!(futures::poll!(&mut batch).is_pending());
        drop(slot);
        batch.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_and_says_when_to_come_back() {
        let gate = gate(1, 0);
        drop(gate.try_enter(Class::Interactive));
        tokio::time::advance(Duration::from_secs(3)).await;
        drop(gate.try_enter(Class::Interactive));
        let _slot = gate.try_enter(Class::Interactive).unwrap();

        let error = gate.enter(Class::Interactive, None).await.unwrap_err();

        assert_eq!(error.kind(), Kind::RateLimited { retry_after: Some(Duration::from_secs(3)) });
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_allowed_nor_beyond_the_deadline() {
        let gate = gate(1, 10);
        let _slot = gate.try_enter(Class::Interactive).unwrap();
        let begun = Instant::now();

        gate.enter(Class::Interactive, None).await.unwrap_err();
        let waited = begun.elapsed();
        let deadline = (Instant::now() + Duration::from_secs(1)).into_std();
        gate.enter(Class::Interactive, Some(deadline)).await.unwrap_err();

        assert_eq!(waited.as_secs(), 5);
        assert_eq!(begun.elapsed().as_secs(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_left_takes_no_slot_along() {
        let gate = gate(1, 10);
        let slot = gate.try_enter(Class::Interactive).unwrap();
        {
            let mut gone = pin!(gate.enter(Class::Interactive, None));
            assert!(futures::poll!(&mut gone).is_pending());
        }
        let mut next = pin!(gate.enter(Class::Interactive, None));
        assert!(futures::poll!(&mut next).is_pending());

        drop(slot);

        drop(next.await.unwrap());
        assert!(gate.try_enter(Class::Batch).is_some());
    }

    #[tokio::test]
    async fn a_gate_without_limits_is_open() {
        let gate = Gate::new(None);

        let slots: Vec<_> = (0..1000).filter_map(|_| gate.try_enter(Class::Batch)).collect();

        assert_eq!(slots.len(), 1000);
    }
}
