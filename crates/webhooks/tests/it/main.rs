//! Webhooks over a real SQLite store to real HTTP servers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod addresses;
mod deliveries;
mod receiver;
mod secrets;
mod site;
