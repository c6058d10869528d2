//! What every process of Tandem needs around its own work: settings, telemetry, the HTTP shell, health and a
//! graceful end. It knows no tenant, model, batch or database.

pub mod drain;
mod host;
pub mod http;
pub mod jwt;
pub mod process;
pub mod settings;
pub mod telemetry;
pub mod trace;
pub mod wake;

mod status;

pub use status::{error_body, status_of, type_of};
