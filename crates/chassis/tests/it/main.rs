//! The crate as its users see it: real listeners, a raw client, settings from real files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod client;
mod ending;
mod errors;
mod settings;
mod shell;
mod telemetry;
mod versions;
