//! The right to call an endpoint: a slot of its deployment's gate, and for batch a place in what the endpoint has to spare.

use crate::{
    failure::{Blame, Failure},
    gate::Slot,
    spare::{Presence, YIELDED},
    table::Candidate,
};
use domain::{Class, Error, Kind, RequestContext, Result};
use std::time::{Duration, Instant};

/// How long a batch call waits for room, unless half of its time is shorter: its caller asks again, and keeps the rest for the answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the head of this file.
pub(super) struct Entry {
    pub(super) slot: Slot,
    pub(super) presence: Presence,
}

impl Entry {
    /// The right to call at once, if there is room.
    pub(super) fn try_new(candidate: &Candidate, class: Class) -> Option<Self> {
        let slot = candidate.deployed.gate.try_enter(class)?;
        let presence = if is_uncounted(candidate, class) {
            Presence::Uncounted
        } else {
            candidate.endpoint.spare.try_enter(class)?
        };
        Some(Self { slot, presence })
    }

    /// The same, with the wait for it.
    pub(super) async fn wait(candidate: &Candidate, ctx: &RequestContext) -> Result<Self> {
        let slot = candidate.deployed.gate.enter(ctx.class, ctx.deadline).await?;
        let presence = if is_uncounted(candidate, ctx.class) {
            Presence::Uncounted
        } else {
            candidate.endpoint.spare.enter(ctx.class, patience(ctx)).await?
        };
        Ok(Self { slot, presence })
    }
}

fn is_uncounted(candidate: &Candidate, class: Class) -> bool {
    class == Class::Batch && !candidate.deployed.deployment.batch_yields
}

fn patience(ctx: &RequestContext) -> Duration {
    let left = ctx.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    left.map_or(PATIENCE, |left| PATIENCE.min(left / 2))
}

/// The end of a batch call that was recalled.
pub(super) fn yielded() -> Failure {
    let text = "The request gave way to one that somebody waits for; it is to be sent again.";
    Failure::new(Blame::Yielded, Error::new(Kind::RateLimited { retry_after: None }, text).with_code(YIELDED))
}
