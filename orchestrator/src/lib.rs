//! From a model's name to an answer: which deployment serves it, the call to that deployment, and what to do when it
//! fails. Knows no tenants' rights, no batches and no database.

mod attempts;
mod backend;
mod body;
mod breaker;
mod cache;
pub mod catalog;
mod client;
mod commit;
mod dialect;
mod discover;
mod endpoint;
mod exchange;
mod explain;
mod failure;
mod gate;
pub mod http;
mod instruments;
mod limits;
mod link;
mod open;
mod policy;
mod provider;
mod quantile;
mod reading;
mod reload;
pub mod remote;
mod retry;
mod retry_after;
mod router;
pub mod settings;
mod settle;
mod shadow;
mod speech;
mod table;
mod translate;
mod watch;

pub use backend::{ModelBackend, ModelInfo, ModelRequest, ModelResponse, Served};
pub use body::{Frame, ModelBody, Outcome, Progress};
pub use client::UpstreamClient;
pub use dialect::Dialect;
pub use discover::discover;
pub use failure::CREDENTIALS_REFUSED;
pub use open::{open, read_catalog};
pub use router::Router;
pub use watch::follow as watch;
