//! What is done wrong, to which requests, and how often.

use http::{Method, StatusCode};
use std::time::Duration;

/// A wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Nothing is done, and the answer is this.
    Refuse(StatusCode),
    /// It is done, after this long.
    Slow(Duration),
    /// It is done, and the connection ends without an answer.
    LoseAnswer,
    /// Half of what was to be written is there, whatever its checksum, and the connection ends without an answer. Google
    /// does not do this; other stores, and disks, do.
    Tear,
    /// The answer ends in the middle of its body.
    BreakOff,
}

/// A wrong that is done to some requests.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What.
    pub harm: Harm,
    /// To requests of this method; none = of any.
    pub method: Option<Method>,
    /// To requests whose path, as it was sent, holds this.
    pub path: String,
    /// To every so manieth of them; 1 = to each.
    pub every: u64,
    /// To so many of them; none = until it is disarmed.
    pub times: Option<u64>,
}

impl Fault {
    /// To every request of this method.
    #[must_use]
    pub fn of(harm: Harm, method: Method) -> Self {
        Self { harm, method: Some(method), path: String::new(), every: 1, times: None }
    }

    /// The same, so many times.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The same, where the path holds this.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// The same, to every so manieth request.
    #[must_use]
    pub fn every(self, every: u64) -> Self {
        Self { every, ..self }
    }
}

#[derive(Default)]
pub(crate) struct Faults {
    /// With how many requests each has fitted, and how many it was done to.
    armed: Vec<(Fault, u64, u64)>,
    harmed: u64,
}

impl Faults {
    pub(crate) fn arm(&mut self, fault: Fault) {
        self.armed.push((fault, 0, 0));
    }

    pub(crate) fn disarm(&mut self) {
        self.armed.clear();
    }

    pub(crate) fn harmed(&self) -> u64 {
        self.harmed
    }

    /// What is to be done to a request.
    pub(crate) fn harm(&mut self, method: &Method, path: &str) -> Option<Harm> {
        let fits = |fault: &Fault| fault.method.as_ref().is_none_or(|of| of == method) && path.contains(&fault.path);
        for (fault, fitted, done) in &mut self.armed {
            if !fits(fault) || fault.times.is_some_and(|times| *done >= times) {
                continue;
            }
            *fitted += 1;
            if fitted.is_multiple_of(fault.every.max(1)) {
                *done += 1;
                self.harmed += 1;
                return Some(fault.harm);
            }
        }
        None
    }
}
