//! How many lines of a shard are in flight at once: a number that may grow and shrink while they are.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of one shard.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    allowed: usize,
    /// Turns that are taken and no longer allowed: they are not given on.
    surplus: usize,
}

/// One line's turn; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// None is allowed yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(0)), count: Mutex::default() })
    }

    /// From now on so many. Those above it end by themselves.
    pub(crate) fn allow(&self, allowed: usize) {
        let mut count = self.count.lock();
        let more = allowed.saturating_sub(count.allowed);
        let kept = more.min(count.surplus);
        self.free.add_permits(more - kept);
        let less = count.allowed.saturating_sub(allowed);
        let ended = self.free.forget_permits(less);
        count.surplus = count.surplus - kept + less - ended;
        count.allowed = allowed;
    }

    /// Waits for a turn. `None`: there will be none.
    pub(crate) async fn take(self: Arc<Self>) -> Option<Turn> {
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        Some(Turn { turns: self, permit: Some(permit) })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut count = self.turns.count.lock();
        if count.surplus > 0 {
            count.surplus -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn take(turns: &Arc<Turns>) -> Option<Turn> {
        Arc::clone(turns).take().now_or_never().flatten()
    }

    #[test]
    fn fewer_turns_are_reached_as_lines_end() {
        let turns = Turns::new();
        turns.allow(3);
        let mut taken: Vec<_> = (0..3).map(|_| take(&turns).unwrap()).collect();

        turns.allow(1);

        taken.pop();
        assert!(take(&turns).is_none(), "two are still in flight");
        taken.pop();
        assert!(take(&turns).is_none(), "one is");
        taken.pop();
        assert!(take(&turns).is_some());
    }

    #[test]
    fn more_turns_begin_at_once_but_for_those_that_never_ended() {
        let turns = Turns::new();
        turns.allow(3);
        let _taken: Vec<_> = (0..3).map(|_| take(&turns).unwrap()).collect();
        turns.allow(1);

        turns.allow(4);

        let _fourth = take(&turns).unwrap();
        assert!(take(&turns).is_none());
    }
}
