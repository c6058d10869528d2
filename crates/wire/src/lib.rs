//! What goes over the wire, and nothing else: OpenAI's JSON shapes, the cheap look at a request body, the SSE and
//! JSON Lines codecs. Pure: no I/O, no clock, no policy.

mod arguments;
pub mod batch;
pub mod batch_audit;
pub mod chat;
mod deeds;
pub mod error;
mod fields;
pub mod file;
pub mod gemini;
pub mod head;
pub mod jsonl;
mod media;
pub mod messages;
pub mod numbering;
mod openai;
pub mod pivot;
pub mod responses;
pub mod sse;
pub mod upload;
pub mod usage;
pub mod webhook;
