//! The door: OpenAI's API over HTTP. Knows keys, shapes and limits; knows nothing of providers, SQL or brokers.
//! Every answer that is not a success has OpenAI's four-key error body.

mod app;
mod auth;
mod batches;
mod convert;
mod download;
mod extract;
mod files;
mod home;
mod inference;
mod models;
mod paging;
mod replay;
mod settings;
mod upload;
mod wishes;
mod words;

pub use app::Gateway;
pub use replay::ReplaySettings;
pub use settings::GatewaySettings;
