//! The simulator over real sockets.

mod answers;
mod errors;
mod faults;
mod harness;
mod queueing;
