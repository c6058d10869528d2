//! The simulator over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod answers;
mod errors;
mod faults;
mod harness;
mod queueing;
