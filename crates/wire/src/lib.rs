//! What goes over the wire, and nothing else: OpenAI's JSON shapes, the cheap look at a request body, the SSE and
//! JSON Lines codecs. Pure: no I/O, no clock, no policy.

pub mod batch;
pub mod error;
pub mod file;
pub mod head;
pub mod jsonl;
pub mod pivot;
pub mod sse;
pub mod usage;
