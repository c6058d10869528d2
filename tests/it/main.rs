//! Scenarios on real processes.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise and says what it counted"
)]

mod canaries;
mod doorbells;
mod drain;
mod events;
mod kill;
mod limits;
mod metrics;
mod outage;
mod reconcile;
mod scheduling;
mod services;
mod spare;
mod storm;
mod submissions;
mod webhooks;
