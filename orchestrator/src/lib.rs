//! From a model's name to an answer: which deployment serves it, the call to that deployment, and what to do when it
//! fails. Knows no tenants' rights, no batches and no database.

mod backend;
mod body;

pub use backend::{Dialect, ModelBackend, ModelInfo, ModelRequest, ModelResponse};
pub use body::{Frame, ModelBody, Outcome};
