//! The worker against a real database, real files and a model that does as the line says.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod bench;
mod compose;
mod controls;
mod endings;
mod faults;
mod lines;
mod model;
mod purge;
mod records;
mod turns;
