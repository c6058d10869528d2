//! Injected faults: what a request's `x-sim-fault` header, or the control endpoint, asks the server to do wrong.
//! A fault is a list of directives such as `status=503;retry_after=2` or `cut=3;slow_bytes=1`.

use std::{collections::VecDeque, time::Duration};

use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{refusal::Refusal, text::Voice};

/// The header that carries a fault for one request.
pub const FAULT_HEADER: &str = "x-sim-fault";

/// Everything that can go wrong with one request; the default is nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fault {
    /// Answer this status at once.
    pub(crate) status: Option<StatusCode>,
    /// `Retry-After` of that answer, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// Never answer.
    pub(crate) hang: bool,
    /// Reset the TCP connection before any header.
    pub(crate) reset: bool,
    /// Close the connection after so many tokens; a whole answer is cut in the middle.
    pub(crate) cut: Option<usize>,
    /// Send nothing more after so many tokens; a whole answer never comes.
    pub(crate) stall: Option<usize>,
    /// Replace the token after so many by an event that is not JSON; a whole answer is not JSON either.
    pub(crate) malformed: Option<usize>,
    /// The engine dies after so many tokens: an error event, or a 500.
    pub(crate) error: Option<usize>,
    /// End the stream without `[DONE]`.
    pub(crate) no_done: bool,
    /// Send the body one byte at a time, with this pause between.
    pub(crate) slow_bytes: Option<Duration>,
}

/// A fault armed by the control endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Armed {
    /// The directives, as in the header.
    pub(crate) fault: String,
    /// How many requests it still hits; none = until it is deleted.
    #[serde(default)]
    pub(crate) times: Option<u64>,
    /// The share of requests it hits.
    #[serde(default = "always")]
    pub(crate) probability: f64,
}

/// The faults that are armed now; the first one that hits wins.
#[derive(Debug)]
pub(crate) struct Faults {
    dice: Voice,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    armed: VecDeque<(Fault, Armed)>,
    draws: usize,
}

impl Fault {
    /// # Errors
    /// The mistake in words, with what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut fault = Self::default();
        for directive in text.split(';').map(str::trim).filter(|directive| !directive.is_empty()) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            fault.set(name.trim(), value.trim())?;
        }
        Ok(fault)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "status" => {
                let status = value.parse().ok().filter(|status: &StatusCode| status.as_u16() >= 400);
                self.status = Some(status.ok_or_else(|| format!("`status={value}` is not a status of 400 or more"))?);
            }
            "retry_after" => self.retry_after = Some(number(name, value)?),
            "hang" => self.hang = true,
            "reset" => self.reset = true,
            "cut" => self.cut = Some(number(name, value)?),
            "stall" => self.stall = Some(number(name, value)?),
            "malformed" => self.malformed = Some(number(name, value)?),
            "error" => self.error = Some(number(name, value)?),
            "no_done" => self.no_done = true,
            "slow_bytes" => self.slow_bytes = Some(Duration::from_millis(number(name, value)?)),
            _ => {
                return Err(format!(
                    "unknown fault `{name}`; known are status=N, retry_after=SECONDS, hang, reset, cut=N, stall=N, \
                     malformed=N, error=N, no_done and slow_bytes=MS"
                ));
            }
        }
        Ok(())
    }
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Voice::new(seed, "faults"), state: Mutex::default() }
    }

    /// Arms a fault for the requests to come.
    ///
    /// # Errors
    /// The mistake in words.
    pub(crate) fn arm(&self, armed: Armed) -> Result<(), String> {
        let fault = Fault::parse(&armed.fault)?;
        if !(0.0..=1.0).contains(&armed.probability) {
            return Err(format!("`probability` must be in 0..=1, got {}", armed.probability));
        }
        self.state.lock().armed.push_back((fault, armed));
        Ok(())
    }

    pub(crate) fn disarm(&self) {
        self.state.lock().armed.clear();
    }

    pub(crate) fn armed(&self) -> Vec<Armed> {
        self.state.lock().armed.iter().map(|(_, armed)| armed.clone()).collect()
    }

    /// What goes wrong with a request: its header decides, else what is armed.
    ///
    /// # Errors
    /// The header cannot be read.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Result<Fault, Refusal> {
        match headers.get(FAULT_HEADER) {
            Some(value) => {
                let text = String::from_utf8_lossy(value.as_bytes());
                Fault::parse(&text).map_err(|mistake| Refusal::bad(Some(FAULT_HEADER), mistake))
            }
            None => Ok(self.draw()),
        }
    }

    fn draw(&self) -> Fault {
        let mut state = self.state.lock();
        for position in 0..state.armed.len() {
            state.draws += 1;
            let chance = f64::from(self.dice.component(state.draws) + 1.0) / 2.0;
            let (fault, armed) = &mut state.armed[position];
            if chance >= armed.probability {
                continue;
            }
            let fault = fault.clone();
            armed.times = armed.times.map(|times| times.saturating_sub(1));
            if armed.times == Some(0) {
                state.armed.remove(position);
            }
            return fault;
        }
        Fault::default()
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("`{name}` needs a whole number, got `{value}`"))
}

fn always() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed(fault: &str, times: Option<u64>, probability: f64) -> Armed {
        Armed { fault: fault.to_owned(), times, probability }
    }

    #[test]
    fn directives_add_up() {
        let fault = Fault::parse("status=503; retry_after=2").unwrap();

        assert_eq!((fault.status, fault.retry_after), (Some(StatusCode::SERVICE_UNAVAILABLE), Some(2)));
    }

    #[test]
    fn a_mistake_says_what_is_known() {
        assert!(Fault::parse("explode").unwrap_err().contains("slow_bytes=MS"));
        assert!(Fault::parse("cut=soon").unwrap_err().contains("whole number"));
        assert!(Fault::parse("status=200").is_err());
    }

    #[test]
    fn an_armed_fault_hits_as_often_as_asked() {
        let faults = Faults::new(0);
        faults.arm(armed("hang", Some(2), 1.0)).unwrap();

        let hits = (0..5).filter(|_| faults.of(&HeaderMap::new()).unwrap().hang).count();

        assert_eq!((hits, faults.armed().len()), (2, 0));
    }

    #[test]
    fn a_probability_hits_about_that_share() {
        let faults = Faults::new(0);
        faults.arm(armed("hang", None, 0.25)).unwrap();

        let hits = (0..1_000).filter(|_| faults.of(&HeaderMap::new()).unwrap().hang).count();

        assert!((200..300).contains(&hits), "{hits}");
    }
}
