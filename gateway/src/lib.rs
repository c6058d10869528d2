//! The door: OpenAI's API over HTTP. Knows keys, shapes and limits; knows nothing of providers, SQL or brokers.
//! Every answer that is not a success has OpenAI's four-key error body.

mod admin;
mod admission;
mod app;
mod batches;
mod convert;
mod download;
mod extract;
mod files;
mod home;
pub mod identity;
mod imports;
mod inference;
mod ledger;
mod limits;
mod models;
mod openapi;
mod overload;
mod paging;
mod replay;
mod settings;
mod upload;
mod uploads;
mod usage;
mod values;
mod webhooks;
mod wishes;
mod words;

pub use app::Gateway;
pub use ledger::LedgerSettings;
pub use limits::{LimitsSettings, WhenDown};
pub use overload::OverloadSettings;
pub use replay::ReplaySettings;
pub use settings::GatewaySettings;
pub use store::{ImportBucket, ImportsSettings};
pub use uploads::UploadsSettings;
