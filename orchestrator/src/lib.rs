//! From a model's name to an answer: which deployment serves it, the call to that deployment, and what to do when it
//! fails. Knows no tenants' rights, no batches and no database.

mod backend;
mod body;
pub mod catalog;
mod client;
mod discover;
mod failure;
pub mod http;
mod limits;
mod link;
mod open;
mod openai;
mod reload;
pub mod remote;
mod router;
pub mod settings;
mod side_reader;

pub use backend::{Dialect, ModelBackend, ModelInfo, ModelRequest, ModelResponse};
pub use body::{Frame, ModelBody, Outcome};
pub use client::UpstreamClient;
pub use discover::discover;
pub use failure::CREDENTIALS_REFUSED;
pub use open::{open, read_catalog};
pub use router::Router;
