//! What the dialects of model APIs have in common: one request, one answer, one stream of events. A dialect's module
//! reads its own JSON into these types or writes it from them; no module knows another dialect.
//!
//! Each `rest` holds the fields that nobody here knows, so that a provider's new field survives the way through.

use serde_json::{Map, Value};
use std::fmt;

/// A request to a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The model asked for.
    pub model: String,
    /// The conversation, system messages first where the dialect has them apart.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it may or must.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// The most tokens to generate, reasoning included.
    pub max_tokens: Option<u64>,
    /// How to sample.
    pub sampling: Sampling,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How many answers.
    pub n: Option<u64>,
    /// What the answer must look like.
    pub format: Option<Format>,
    /// How much to reason.
    pub reasoning: Option<Reasoning>,
    /// Whether each token's probability is wanted, and how many alternatives.
    pub logprobs: Option<Logprobs>,
    /// The end user.
    pub user: Option<String>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether a stream is to tell its usage, in dialects where that is a choice.
    pub include_usage: bool,
    /// Everything else at the top level.
    pub rest: Map<String, Value>,
}

/// Sampling parameters; absent = the model's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// 0 = always the likeliest token.
    pub temperature: Option<f64>,
    /// Only the likeliest tokens that together have this probability.
    pub top_p: Option<f64>,
    /// Only this many of the likeliest tokens.
    pub top_k: Option<u64>,
    /// For the same answer again.
    pub seed: Option<i64>,
    /// Against words that came often.
    pub frequency_penalty: Option<f64>,
    /// Against words that came at all.
    pub presence_penalty: Option<f64>,
}

/// Token probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logprobs {
    /// How many alternatives to tell for each token.
    pub top: Option<u64>,
}

/// How much the model is to reason before it answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reasoning {
    /// In words: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`.
    pub effort: Option<String>,
    /// In tokens; 0 = not at all.
    pub budget_tokens: Option<u64>,
    /// Everything else.
    pub rest: Map<String, Value>,
}

/// What the answer must look like.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// Any text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON of a schema.
    JsonSchema {
        /// The schema's name, if it has one.
        name: Option<String>,
        /// The JSON Schema.
        schema: Value,
        /// Whether it is enforced to the letter.
        strict: Option<bool>,
        /// Everything else, as `description`.
        rest: Map<String, Value>,
    },
    /// Something this type does not know, as it came.
    Other(Value),
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The operator's instructions.
    System,
    /// The person, or the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What they say. The result of a tool is a part of a `User` message.
    pub parts: Vec<Part>,
    /// Everything else, as `name`.
    pub rest: Map<String, Value>,
}

/// A part of a turn or of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it is.
    pub content: Content,
    /// Everything else, as `cache_control` or `annotations`.
    pub rest: Map<String, Value>,
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text.
    Text(String),
    /// An image.
    Image(Media),
    /// A document or other file.
    File(Media),
    /// Speech or sound.
    Audio(Media),
    /// The model's reasoning.
    Thinking {
        /// What it thought, maybe summarised, maybe nothing.
        text: String,
        /// The provider's proof, to be handed back unchanged.
        signature: Option<String>,
    },
    /// Reasoning that only the provider can read, to be handed back unchanged.
    RedactedThinking(String),
    /// The model calls a tool.
    ToolCall(ToolCall),
    /// What a tool gave.
    ToolResult {
        /// Which call it answers.
        call_id: String,
        /// What came out.
        parts: Vec<Part>,
        /// Whether it failed, if the dialect can tell.
        is_error: Option<bool>,
    },
    /// The model declines, and says so.
    Refusal(String),
    /// A kind of part this type does not know, as it came.
    Other(Value),
}

/// A call of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The call's name for its result to refer to.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON text as the model wrote it; not always valid.
    pub arguments: String,
    /// The provider's proof of the reasoning before it (Gemini's `thoughtSignature`), to be handed back unchanged.
    pub signature: Option<String>,
}

/// Bytes or where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Where they are.
    pub source: MediaSource,
    /// As `image/png`, if known.
    pub media_type: Option<String>,
}

/// Where the bytes of a [`Media`] are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaSource {
    /// Here, in base64.
    Base64(String),
    /// At an address, as `https:` or `gs:`.
    Url(String),
    /// Stored with the provider under an id.
    FileId(String),
}

/// Something the model may call.
#[derive(Debug, Clone, PartialEq)]
pub enum Tool {
    /// A function of the caller's.
    Function(Function),
    /// A tool the provider runs, or another kind, as it came.
    Other(Value),
}

/// A function the model may call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Option<Value>,
    /// Whether the schema is enforced to the letter.
    pub strict: Option<bool>,
    /// Everything else.
    pub rest: Map<String, Value>,
}

/// Whether the model may or must call a tool.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// It must not.
    None,
    /// It must call one.
    Required,
    /// It must call this one.
    Function(String),
    /// Something this type does not know, as it came.
    Other(Value),
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The answer's id.
    pub id: String,
    /// The model that answered, as the provider calls it.
    pub model: String,
    /// Unix seconds, if the dialect tells.
    pub created: Option<i64>,
    /// The answers, one unless more were asked for.
    pub choices: Vec<Choice>,
    /// The tokens used.
    pub usage: Option<Usage>,
    /// Everything else at the top level.
    pub rest: Map<String, Value>,
}

/// One of the answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// Its number, from 0.
    pub index: u64,
    /// What it says.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub finish: Option<Finish>,
    /// Token probabilities in the form of chat completions (`{"content":[…]}`).
    pub logprobs: Option<Value>,
    /// Everything else.
    pub rest: Map<String, Value>,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// It was complete.
    Stop,
    /// One of the stop texts came.
    StopSequence(Option<String>),
    /// A limit on tokens was reached.
    Length,
    /// The model waits for tools.
    ToolCalls,
    /// A filter cut or withheld it.
    ContentFilter,
    /// The model declined.
    Refusal,
    /// The provider pauses a long turn (Anthropic's `pause_turn`).
    Pause,
    /// A reason this type does not know, as it came.
    Other(String),
}

/// Tokens used. `input` includes `cached` and `cache_write`, `output` includes `reasoning`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
    /// Prompt tokens read from a cache.
    pub cached: u64,
    /// Prompt tokens written to a cache at a price.
    pub cache_write: u64,
    /// Generated tokens spent on reasoning.
    pub reasoning: u64,
}

/// One step of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The first event: who answers.
    Start {
        /// The answer's id.
        id: String,
        /// The model that answers, as the provider calls it.
        model: String,
        /// Unix seconds, if the dialect tells.
        created: Option<i64>,
    },
    /// More of one choice.
    Delta {
        /// Which choice, from 0.
        choice: u64,
        /// What is added.
        delta: Delta,
    },
    /// A choice ended.
    Finish {
        /// Which choice, from 0.
        choice: u64,
        /// Why.
        finish: Finish,
    },
    /// The tokens used so far; the last one counts.
    Usage(Usage),
    /// The end marker. Without it the stream was cut.
    Done,
    /// The provider failed amid the stream; nothing follows.
    Error(StreamError),
}

/// What an event adds to a choice.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// Text.
    Text(String),
    /// Reasoning.
    Thinking(String),
    /// The signature of the reasoning before it.
    Signature(String),
    /// Reasoning that only the provider can read.
    RedactedThinking(String),
    /// A tool call begins. Calls of a choice are numbered from 0.
    ToolCallStart {
        /// Its number.
        index: u64,
        /// Id and name; `arguments` may already hold the beginning.
        call: ToolCall,
    },
    /// More JSON text of a call's arguments.
    ToolArguments {
        /// The call's number.
        index: u64,
        /// The text.
        text: String,
    },
    /// More of a refusal.
    Refusal(String),
    /// Token probabilities in the form of chat completions (`{"content":[…]}`).
    Logprobs(Value),
}

/// An error amid a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamError {
    /// The provider's family of the error, as `overloaded_error`.
    pub kind: String,
    /// The provider's code, as `rate_limit_exceeded` or `429`.
    pub code: Option<String>,
    /// The provider's text.
    pub message: String,
}

/// Why a request or answer can't be read, or can't be said in another dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranslateError {
    /// What is wrong and what is possible, for the caller.
    pub message: String,
    /// The parameter, as `messages[2].content[0]`.
    pub param: Option<String>,
}

impl TranslateError {
    /// A value that is not what its dialect says it must be.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param.into()) }
    }

    /// A value that is fine, but that the provider's dialect has no words for.
    pub fn unsupported(param: impl Into<String>, provider: &str) -> Self {
        let param = param.into();
        let message =
            format!("`{param}` is not supported with this model, which is served by {provider}; leave it out.");
        Self { message, param: Some(param) }
    }
}

impl fmt::Display for TranslateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TranslateError {}

impl Part {
    /// A part with nothing else to it.
    #[must_use]
    pub fn new(content: Content) -> Self {
        Self { content, rest: Map::new() }
    }

    /// A part that is text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Content::Text(text.into()))
    }
}

/// Reads the events of one dialect's stream into the common ones.
pub trait Decode: Send {
    /// Reads one server-sent event; it may stand for none or several.
    ///
    /// # Errors
    /// When its data is not what the dialect says it must be.
    fn decode(&mut self, event: &crate::sse::Event) -> Result<Vec<Event>, TranslateError>;
}

/// Writes the common events as one dialect's stream.
pub trait Encode: Send {
    /// Writes one event as none or several server-sent ones. After `Done` or `Error` nothing more may be encoded.
    fn encode(&mut self, event: Event) -> Vec<crate::sse::Event<'static>>;
}
