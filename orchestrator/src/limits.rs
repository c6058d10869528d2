//! How long one call may still take, at each of its stages.

use crate::{
    catalog::Timeouts,
    failure::{Blame, Failure},
};
use domain::{Error, Kind};
use futures::FutureExt;
use std::pin::{Pin, pin};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

/// The code of an error that the caller's own deadline caused.
pub(crate) const DEADLINE_EXCEEDED: &str = "deadline_exceeded";

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    timeouts: Timeouts,
    begun: Instant,
    end: Instant,
    deadline: Option<Instant>,
}

impl Limits {
    pub(crate) fn new(timeouts: Timeouts, deadline: Option<std::time::Instant>) -> Self {
        let begun = Instant::now();
        let end = begun + timeouts.total;
        let deadline = deadline.map(Instant::from);
        Self { timeouts, begun, end: deadline.map_or(end, |deadline| end.min(deadline)), deadline }
    }

    /// Since when the call runs.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// Until when the whole answer must be there.
    pub(crate) fn total(&self) -> Instant {
        self.end
    }

    /// Until when the first content must be there.
    pub(crate) fn first_token(&self) -> Instant {
        self.end.min(self.begun + self.timeouts.first_token)
    }

    /// Until when the next piece must be there.
    pub(crate) fn next(&self) -> Instant {
        self.end.min(Instant::now() + self.timeouts.idle)
    }

    /// The bounds of a stream that has begun.
    pub(crate) fn silence(self) -> Silence {
        Silence { alarm: Box::pin(sleep_until(self.next())), since: Instant::now(), limits: self }
    }

    /// Waits for `work`, but not beyond `until`. No `async fn`: that would hold `work` twice, before and while it runs.
    pub(crate) fn within<T>(
        &self,
        until: Instant,
        work: impl Future<Output = T>,
    ) -> impl Future<Output = Result<T, Failure>> {
        timeout_at(until, work).map(move |done| done.map_err(|_| self.too_late(until)))
    }

    fn too_late(&self, until: Instant) -> Failure {
        let seconds = self.begun.elapsed().as_secs_f32();
        if self.deadline.is_some_and(|deadline| deadline <= until) {
            let text =
                format!("The request's own deadline passed before the model had answered, after {seconds:.1} s.");
            return Failure::new(Blame::Caller, Error::new(Kind::Timeout, text).with_code(DEADLINE_EXCEEDED));
        }
        let text =
            format!("The model did not answer in time: it was silent too long, {seconds:.1} s after the request.");
        Failure::new(Blame::Silence, Error::new(Kind::Timeout, text))
    }
}

/// How long a stream may be silent, and go on at all. It has one timer, set anew only when it rings: pieces are far more frequent
/// than silences.
#[derive(Debug)]
pub(crate) struct Silence {
    limits: Limits,
    since: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Silence {
    /// Waits for the next piece. A caller who was slow to ask for it is nobody's silence.
    pub(crate) async fn bound<T>(&mut self, piece: impl Future<Output = T>) -> Result<T, Failure> {
        self.since = Instant::now();
        let mut piece = pin!(piece);
        loop {
            tokio::select! {
                biased;
                piece = &mut piece => return Ok(piece),
                () = &mut self.alarm => {
                    let until = self.limits.end.min(self.since + self.limits.timeouts.idle);
                    if until <= Instant::now() {
                        return Err(self.limits.too_late(until));
                    }
                    self.alarm.as_mut().reset(until);
                }
            }
        }
    }
}
