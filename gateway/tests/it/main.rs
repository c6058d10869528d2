//! The gateway over a real SQLite store, blobs in a folder, the embedded doorbell and a scripted model.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod admin;
mod app;
mod batches;
mod dialects;
mod files;
mod governed;
mod imports;
mod inference;
mod keys;
mod model;
mod openapi;
mod parts;
mod records;
mod refusals;
mod replay;
mod replay_ends;
mod scheduling;
mod uploads;
mod usage;
mod webhooks;
