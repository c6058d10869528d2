//! A side of a broker that is lost and comes back: said once each in the log, and seen in the metrics all the while.

use crate::instruments::{Instruments, Side};
use backon::{BackoffBuilder, ExponentialBuilder};
use domain::Result;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tracing::{info, warn};

/// The longest pause between two tries to reach a broker, before jitter doubles it at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The pauses between tries to reach a broker: for ever, since nothing but the broker's return ends them.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(LONGEST_PAUSE)
    .without_max_times()
    .with_jitter();

/// Whether one side of a broker is out of reach.
pub(crate) struct Outage {
    side: Side,
    instruments: Instruments,
    is_lost: AtomicBool,
}

impl Outage {
    /// Not connected yet, which is no loss.
    pub(crate) fn new(side: Side, instruments: Instruments) -> Self {
        instruments.connected(side, false);
        Self { side, instruments, is_lost: AtomicBool::new(false) }
    }

    /// The broker is out of reach.
    pub(crate) fn began(&self, why: &str) {
        self.instruments.connected(self.side, false);
        if !self.is_lost.swap(true, Ordering::Relaxed) {
            let (doorbell, side) = (self.instruments.kind(), self.side.as_str());
            warn!(doorbell, side, error = why, "the broker is lost; {}", self.side.without());
        }
    }

    /// The broker is within reach.
    pub(crate) fn ended(&self) {
        self.instruments.connected(self.side, true);
        if self.is_lost.swap(false, Ordering::Relaxed) {
            info!(doorbell = self.instruments.kind(), side = self.side.as_str(), "the broker is back");
        }
    }

    /// Does `reach` until it works, with pauses between that grow; `failed` hears of each failure.
    pub(crate) async fn outlast<T, F>(&self, reach: impl Fn() -> F, failed: impl Fn(&str)) -> T
    where
        F: Future<Output = Result<T>>,
    {
        let mut pauses = PAUSES.build();
        loop {
            match reach().await {
                Ok(reached) => {
                    self.ended();
                    return reached;
                }
                Err(error) => {
                    let why = error.chain();
                    self.began(&why);
                    failed(&why);
                }
            }
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
        }
    }
}
