//! The dialect of Gemini on Vertex AI, as a provider: `:generateContent`, `:streamGenerateContent?alt=sse`, and
//! `:predict` of the text embedding models. The model is part of the path, so no body names it.

mod answer;
mod contents;
pub mod embeddings;
mod error;
mod generation;
mod media;
mod request;
mod response;
mod stream;
mod thinking;
mod tools;

pub use answer::read_answer;
pub use error::{Failure, read_error};
pub use request::write_request;
pub use stream::StreamReader;

/// Who serves the model, in messages to the caller.
const PROVIDER: &str = "Vertex AI";

/// The name without path, as `gemini-2.5-pro` of `google/gemini-2.5-pro`.
fn short_name(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

/// Whether the model is from before Gemini 3: it counts thinking in tokens and does not insist on signatures.
fn is_before_3(model: &str) -> bool {
    let name = short_name(model);
    name.starts_with("gemini-1") || name.starts_with("gemini-2")
}
