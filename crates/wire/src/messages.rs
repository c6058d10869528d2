//! Anthropic's Messages API, as callers speak it and as a provider does: requests, answers and streams, both ways.
//! How Vertex AI wants it (no `model`, a version in the body) is left to whoever sends it there.

mod answer;
mod content;
mod conversation;
mod error;
mod media;
mod provider_request;
mod request;
mod stop;
mod stream_reader;
mod stream_writer;
mod thinking;
mod tools;
mod usage;

pub use answer::{read_answer, write_answer};
pub use error::error_body;
pub use provider_request::{DEFAULT_MAX_TOKENS, write_request};
pub use request::read_request;
pub use stream_reader::StreamReader;
pub use stream_writer::StreamWriter;

/// Who serves the model, in messages to the caller.
const PROVIDER: &str = "Anthropic";
