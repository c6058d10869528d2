//! One gate per model: how many calls are in flight, how many of them second tries, and a common pause after the model refused
//! work, so that a model that is down is asked now and then and not by every waiting line.

use domain::Result;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);

/// One call in so many may be a second try: a model that fails partly spends nine tenths of its time on lines that may succeed.
const CALLS_A_RETRY: usize = 10;

/// Calls that end within this time are judged together.
const COHORT: Duration = Duration::from_secs(1);
const FEW: u32 = 4;

/// The gates of all models.
pub(crate) struct Gates {
    concurrency: usize,
    gates: Mutex<HashMap<String, Arc<Gate>>>,
}

/// The gate of one model.
pub(crate) struct Gate {
    calls: Arc<Semaphore>,
    /// Places for second tries among these.
    retries: Arc<Semaphore>,
    mood: Mutex<Mood>,
}

/// Whether a line is asked once more after it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Try {
    First,
    Again,
}

/// The right to one call; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    _call: OwnedSemaphorePermit,
    _retry: Option<OwnedSemaphorePermit>,
}

/// How the model has answered lately.
#[derive(Debug)]
struct Mood {
    not_before: Instant,
    refusals: u32,
    /// Calls that ended since `since`, and how many of them in an accident.
    since: Instant,
    ended: u32,
    accidents: u32,
}

impl Gates {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self { concurrency: concurrency.max(1), gates: Mutex::default() }
    }

    /// The gate of `model`.
    pub(crate) fn of(&self, model: &str) -> Arc<Gate> {
        let mut gates = self.gates.lock();
        if let Some(gate) = gates.get(model) {
            return Arc::clone(gate);
        }
        let gate = Arc::new(Gate::new(self.concurrency));
        gates.insert(model.to_owned(), Arc::clone(&gate));
        gate
    }
}

impl Gate {
    fn new(concurrency: usize) -> Self {
        let now = Instant::now();
        let mood = Mood { not_before: now, refusals: 0, since: now, ended: 0, accidents: 0 };
        let places = |count| Arc::new(Semaphore::new(count));
        let retries = places((concurrency / CALLS_A_RETRY).max(1));
        Self { calls: places(concurrency), retries, mood: Mutex::new(mood) }
    }

    /// Waits for a free call outside a pause. What it gives must be dropped before any wait that is not the call.
    pub(crate) async fn enter(&self, try_: Try) -> Result<Entered> {
        let retry = match try_ {
            Try::First => None,
            Try::Again => Some(Arc::clone(&self.retries).acquire_owned().await.map_err(domain::Error::internal)?),
        };
        loop {
            let permit = Arc::clone(&self.calls).acquire_owned().await.map_err(domain::Error::internal)?;
            let not_before = self.mood.lock().not_before;
            if not_before <= Instant::now() {
                return Ok(Entered { _call: permit, _retry: retry });
            }
            drop(permit);
            tokio::time::sleep_until(not_before).await;
        }
    }

    /// The model answered.
    pub(crate) fn accepted(&self) {
        self.mood.lock().refusals = 0;
    }

    /// A call ended, in an accident or not.
    pub(crate) fn saw(&self, accident: bool) {
        let mut mood = self.mood.lock();
        if mood.since.elapsed() > COHORT {
            (mood.since, mood.ended, mood.accidents) = (Instant::now(), 0, 0);
        }
        mood.ended += 1;
        mood.accidents += u32::from(accident);
    }

    /// Whether at least half of the calls that ended lately, and more than a few, ended in an accident.
    pub(crate) fn failed_together(&self) -> bool {
        let mood = self.mood.lock();
        mood.accidents >= FEW && mood.accidents * 2 >= mood.ended
    }

    /// The model refused work. Refusals during a pause belong to calls from before it and lengthen nothing.
    pub(crate) fn refused(&self, retry_after: Option<Duration>) {
        let mut mood = self.mood.lock();
        let now = Instant::now();
        if mood.not_before > now && retry_after.is_none() {
            return;
        }
        mood.refusals = mood.refusals.saturating_add(1);
        let pause = retry_after.map_or_else(|| backoff(mood.refusals), |told| told.min(LONGEST) + backoff(1));
        mood.not_before = mood.not_before.max(now + pause);
    }
}

/// A random pause up to an exponentially growing bound ("full jitter").
pub(crate) fn backoff(attempt: u32) -> Duration {
    let bound = SHORTEST.saturating_mul(1 << attempt.min(12)).min(LONGEST);
    bound.mul_f64(rand::random_range(0.0..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_refusal_makes_everybody_wait() {
        let gate = Gate::new(8);

        gate.refused(Some(Duration::from_millis(30)));
        let asked = Instant::now();
        let _entered = gate.enter(Try::First).await.unwrap();

        assert!(asked.elapsed() >= Duration::from_millis(30));
    }

    #[tokio::test]
    async fn one_accident_is_not_the_engines_doing_but_many_are() {
        let gate = Gate::new(8);

        gate.saw(true);
        assert!(!gate.failed_together());
        for _ in 0..FEW {
            gate.saw(true);
        }

        assert!(gate.failed_together());
    }

    #[tokio::test]
    async fn a_tenth_of_the_calls_may_be_second_tries_and_at_least_one() {
        for (concurrency, retries) in [(40, 4), (9, 1), (1, 1)] {
            let gate = Gate::new(concurrency);
            let again = async || gate.enter(Try::Again).now_or_never();
            let mut held = Vec::new();

            while let Some(entered) = again().await {
                held.push(entered.unwrap());
            }

            assert_eq!(held.len(), retries, "of {concurrency}");
            assert_eq!(gate.enter(Try::First).now_or_never().is_some(), concurrency > 1);
            held.pop();
            assert!(again().await.is_some());
        }
    }

    #[test]
    fn a_pause_is_never_longer_than_the_bound() {
        assert!((0..200).all(|attempt| backoff(attempt) <= LONGEST));
    }
}
