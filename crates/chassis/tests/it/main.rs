//! The crate as its users see it: real listeners, a raw client, settings from real files.

mod client;
mod ending;
mod errors;
mod settings;
mod shell;
mod telemetry;
