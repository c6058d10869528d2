//! Polls only what was woken. Whoever polls a body once more for nothing, as HTTP servers do after they have flushed, gets an answer
//! without going through all that lies below; and parts that wake each other while they are polled don't wake the whole task.

use futures::task::AtomicWaker;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// How often work is looked at again at once that was woken while it was polled. Then others have their turn.
const LOOKS: usize = 4;

/// Nothing to do.
const QUIET: u8 = 0;
/// There is something to do, and whoever polls was told.
const RAISED: u8 = 1;
/// The work is being polled.
const POLLED: u8 = 2;

/// Says of one piece of work whether it was woken since it was last polled, and wakes the task that polls it. For one piece at a time.
#[derive(Debug)]
pub struct WakeFlag {
    shared: Arc<Shared>,
    /// Raises it.
    waker: Waker,
}

#[derive(Debug)]
struct Shared {
    listener: AtomicWaker,
    state: AtomicU8,
}

impl Default for WakeFlag {
    fn default() -> Self {
        let shared = Arc::new(Shared { listener: AtomicWaker::new(), state: AtomicU8::new(RAISED) });
        Self { waker: Waker::from(shared.clone()), shared }
    }
}

impl WakeFlag {
    /// Polls the work if it was woken since it was last pending, or is polled for the first time.
    pub fn poll<T>(&self, cx: &mut Context<'_>, mut work: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let Shared { listener, state } = &*self.shared;
        listener.register(cx.waker());
        if state.load(Ordering::Acquire) == QUIET {
            return Poll::Pending;
        }
        for _ in 0..LOOKS {
            state.store(POLLED, Ordering::Release);
            let done = work(&mut self.context());
            if done.is_ready() {
                // There may be more.
                state.store(RAISED, Ordering::Release);
                return done;
            }
            if state.compare_exchange(POLLED, QUIET, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return Poll::Pending;
            }
        }
        state.store(RAISED, Ordering::Release);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Begins other work, which nobody waits for yet.
    pub fn reset(&self) {
        drop(self.shared.listener.take());
        self.shared.state.store(RAISED, Ordering::Release);
    }

    /// What wakes the work.
    pub fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // While the work is polled, whoever polls it looks at the state afterwards.
        if self.state.swap(RAISED, Ordering::AcqRel) == QUIET {
            self.listener.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::task::noop_waker;
    use std::sync::atomic::AtomicUsize;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Task {
        fn woken(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// Polls work that is never done and wakes itself as often as `wakes` tells; how often it was reached.
    fn poll_pending(flag: &WakeFlag, task: &Waker, mut wakes: usize) -> usize {
        let mut reached = 0;
        let pending = flag.poll(&mut Context::from_waker(task), |cx| {
            reached += 1;
            if wakes > 0 {
                wakes -= 1;
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert!(pending.is_pending());
        reached
    }

    #[test]
    fn work_is_reached_only_when_it_was_woken() {
        let (flag, task) = (WakeFlag::default(), Arc::<Task>::default());
        let waker = Waker::from(task.clone());

        let reached = [poll_pending(&flag, &waker, 0), poll_pending(&flag, &waker, 0)];
        flag.context().waker().wake_by_ref();
        flag.context().waker().wake_by_ref();
        let woken = task.woken();

        assert_eq!((reached, woken, poll_pending(&flag, &waker, 0)), ([1, 0], 1, 1));
    }

    #[test]
    fn work_that_is_ready_is_asked_again() {
        let flag = WakeFlag::default();
        let ready = || flag.poll(&mut Context::from_waker(&noop_waker()), |_| Poll::Ready(())).is_ready();

        assert!(ready() && ready());
    }

    #[test]
    fn work_that_wakes_itself_is_looked_at_again_without_the_task() {
        let (flag, task) = (WakeFlag::default(), Arc::<Task>::default());

        let reached = poll_pending(&flag, &Waker::from(task.clone()), 1);

        assert_eq!((reached, task.woken()), (2, 0));
    }

    #[test]
    fn work_that_never_rests_lets_others_have_their_turn() {
        let (flag, task) = (WakeFlag::default(), Arc::<Task>::default());
        let waker = Waker::from(task.clone());

        let reached = [poll_pending(&flag, &waker, usize::MAX), poll_pending(&flag, &waker, 0)];

        assert_eq!((reached, task.woken()), ([LOOKS, 1], 1));
    }

    #[test]
    fn nobody_is_told_of_work_that_begins_anew() {
        let (flag, task) = (WakeFlag::default(), Arc::<Task>::default());
        let waker = Waker::from(task.clone());
        poll_pending(&flag, &waker, 0);

        flag.reset();
        flag.context().waker().wake_by_ref();

        assert_eq!((task.woken(), poll_pending(&flag, &waker, 0)), (0, 1));
    }

    #[test]
    fn no_wake_up_of_another_thread_is_lost() {
        for _ in 0..1_000 {
            let flag = WakeFlag::default();
            let other = flag.context().waker().clone();
            let done = Arc::new(AtomicUsize::new(0));
            let doing = done.clone();
            let thread = std::thread::spawn(move || {
                doing.store(1, Ordering::Release);
                other.wake();
            });

            futures::executor::block_on(std::future::poll_fn(|cx| {
                flag.poll(cx, |_| match done.load(Ordering::Acquire) {
                    0 => Poll::Pending,
                    _ => Poll::Ready(()),
                })
            }));

            thread.join().unwrap();
        }
    }
}
