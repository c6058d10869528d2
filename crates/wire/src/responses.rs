//! OpenAI's Responses API without its state: the caller sends the whole conversation each time, and nothing is stored.
//! What needs state or tools that OpenAI runs is refused by name. Also reads native answers and streams, to watch them.

mod answer;
mod content;
mod echo;
mod input;
mod items;
mod model_items;
mod native;
mod open_item;
mod request;
mod response;
mod sealed;
mod stream;
mod tools;
mod usage;
mod watch;

pub use answer::write_answer;
pub use echo::Echo;
pub use native::read_answer;
pub use request::read_request;
pub use stream::StreamWriter;
pub use watch::StreamReader;
