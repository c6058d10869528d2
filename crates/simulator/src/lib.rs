//! A model server without a model: vLLM's endpoints, shapes, queueing and metrics, texts that a test can foretell,
//! and faults on demand. Knows nothing of the rest of the workspace.

mod cache;
mod chat;
mod completions;
mod damage;
mod embeddings;
mod exchange;
mod faults;
mod info;
mod lane;
mod metrics;
mod refusal;
mod request;
mod scheduler;
mod serve;
mod settings;
mod simulator;
mod stream;
mod text;

pub use embeddings::embedding;
pub use faults::FAULT_HEADER;
pub use serve::serve;
pub use settings::SimulatorSettings;
pub use simulator::{Simulator, Stats, TokenStats};
pub use text::{answer, chat_prompt, chat_tokens, text_tokens};
