//! The gateway over a real SQLite store, blobs in a folder, the embedded doorbell and a scripted model.

mod app;
mod batches;
mod files;
mod inference;
mod keys;
mod model;
mod refusals;
mod uploads;
