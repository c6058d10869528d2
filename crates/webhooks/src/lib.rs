//! Events go to the servers of tenants: signed, at least once, and to no address inside. `store` says what is to be sent and keeps
//! what came of it. Knows nothing of what happened to batches, nor of the API by which webhooks are made.

mod attempt;
mod deliver;
mod guard;
mod instruments;
mod register;
mod resolver;
mod schedule;
mod seal;
mod settings;
mod sign;

pub use deliver::Webhooks;
pub use register::Registrar;
pub use settings::{Allowed, WebhooksSettings};
