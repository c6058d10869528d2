//! The end of a process in three steps: stop taking work, let work in flight finish, then cut it. And whether the
//! process wants traffic at all.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::signal::unix::{self, Signal, SignalKind};
use tokio_util::sync::CancellationToken;

/// A switch that everybody in the process holds a clone of.
#[derive(Debug, Clone)]
pub struct Drain {
    begun: CancellationToken,
    expired: CancellationToken,
    grace: Duration,
}

impl Drain {
    /// A drain that has not begun; work in flight will get `grace` to finish.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self { begun: CancellationToken::new(), expired: CancellationToken::new(), grace }
    }

    /// Stops the intake and starts the clock. Later calls change nothing.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn begin(&self) {
        if self.begun.is_cancelled() {
            return;
        }
        self.begun.cancel();
        let (expired, grace) = (self.expired.clone(), self.grace);
        // Nobody awaits this task: it ends with the runtime, and there is nothing to clean up.
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            expired.cancel();
        });
    }

    /// Whether the intake is closed.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until the intake closes.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Cancelled when the intake closes.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.begun.clone()
    }

    /// Cancelled when the grace is over: whoever still streams says so with a typed error and ends.
    #[must_use]
    pub fn expired(&self) -> CancellationToken {
        self.expired.clone()
    }

    /// How long work in flight may take.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.grace
    }
}

/// Watches for SIGTERM and SIGINT from the call on, not from the first poll: a process that is told to end while it starts
/// ends in order, too. The future ends with the first of them.
///
/// # Panics
/// Outside a tokio runtime.
pub fn signal() -> impl Future<Output = ()> + Send {
    let (mut terminate, mut interrupt) = (watch(SignalKind::terminate()), watch(SignalKind::interrupt()));
    async move {
        tokio::select! {
            Some(()) = terminate.recv() => {}
            Some(()) = interrupt.recv() => {}
        }
    }
}

fn watch(kind: SignalKind) -> Signal {
    // Only a forbidden signal or an exhausted process fails here, and then nothing else works either.
    unix::signal(kind).unwrap_or_else(|error| panic!("signals can't be watched: {error}"))
}

/// Whether the process wants traffic: not draining, and every named flag up.
#[derive(Debug, Clone)]
pub struct Readiness {
    drain: Drain,
    /// Why a part is down; `None` when it is up.
    flags: Arc<Mutex<BTreeMap<String, Option<String>>>>,
}

impl Readiness {
    /// Ready until `drain` begins or a flag is down.
    #[must_use]
    pub fn new(drain: &Drain) -> Self {
        Self { drain: drain.clone(), flags: Arc::default() }
    }

    /// A part that must be up before the process is ready. It starts down.
    #[must_use]
    pub fn flag(&self, name: impl Into<String>) -> Flag {
        let flag = Flag { name: name.into(), readiness: self.clone() };
        flag.down("not started");
        flag
    }

    /// Everything that speaks against traffic, as `name: why`. Empty = ready.
    #[must_use]
    pub fn obstacles(&self) -> Vec<String> {
        let draining = self.drain.has_begun().then(|| "draining: no new work is taken".to_owned());
        let flags = self.flags.lock().unwrap_or_else(PoisonError::into_inner);
        let down = flags.iter().filter_map(|(name, why)| why.as_ref().map(|why| format!("{name}: {why}")));
        draining.into_iter().chain(down).collect()
    }

    /// Whether nothing speaks against traffic.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.obstacles().is_empty()
    }

    fn set(&self, name: &str, why_down: Option<String>) {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), why_down);
    }
}

/// One part's say in the readiness of the process.
#[derive(Debug, Clone)]
pub struct Flag {
    name: String,
    readiness: Readiness,
}

impl Flag {
    /// The part works.
    pub fn up(&self) {
        self.readiness.set(&self.name, None);
    }

    /// The part does not work; `why` is shown on `/readyz`.
    pub fn down(&self, why: impl Into<String>) {
        self.readiness.set(&self.name, Some(why.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_grace_runs_from_the_first_begin() {
        let drain = Drain::new(Duration::from_secs(8));
        let started = tokio::time::Instant::now();

        drain.begin();
        drain.begin();
        drain.begun().await;
        drain.expired().cancelled().await;

        assert_eq!(started.elapsed().as_secs(), 8);
    }

    #[tokio::test]
    async fn a_clone_sees_the_drain_begin() {
        let drain = Drain::new(Duration::from_secs(8));
        let clone = drain.clone();

        drain.begin();

        assert!(clone.has_begun() && clone.token().is_cancelled());
        assert!(!clone.expired().is_cancelled());
    }

    #[tokio::test]
    async fn a_process_is_ready_when_every_flag_is_up_and_nothing_drains() {
        let drain = Drain::new(Duration::ZERO);
        let readiness = Readiness::new(&drain);
        let database = readiness.flag("database");
        assert_eq!(readiness.obstacles(), ["database: not started"]);

        database.up();
        assert!(readiness.is_ready());

        drain.begin();
        assert_eq!(readiness.obstacles(), ["draining: no new work is taken"]);
    }
}
