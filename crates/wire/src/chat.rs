//! OpenAI's chat completions, with what vLLM, Google's endpoint and other gateways add to them. The dialect is both
//! spoken by callers and by providers, so everything is read and written.

mod answer;
mod calls;
mod choice;
mod chunks;
mod content;
mod conversation;
mod finish;
mod generation;
mod object;
mod request;
mod stream;
mod thinking;
mod tools;
mod turns;
mod usage;

pub use answer::{read_answer, write_answer};
pub use chunks::StreamWriter;
pub use request::{read_request, write_request};
pub use stream::StreamReader;

/// Who serves the model, in errors about what there are no words for.
const PROVIDER: &str = "an OpenAI-compatible API";
