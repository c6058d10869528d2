//! The model APIs a request may be written for: their paths, and how each of them says that something failed.

use bytes::Bytes;
use domain::Error;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wire::error::{ErrorBody, ErrorObject};

/// The model API a request is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's text completions.
    Completions,
    /// OpenAI's embeddings.
    Embeddings,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Anthropic's counting of a message's tokens.
    CountTokens,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 6] =
        [Self::Chat, Self::Completions, Self::Embeddings, Self::Responses, Self::Messages, Self::CountTokens];

    /// The path at the edge, as `/v1/chat/completions`.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
        }
    }

    /// The dialect at a path.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.path() == path)
    }

    /// The path below a base address that ends in `/v1`.
    pub(crate) fn operation(self) -> &'static str {
        &self.path()["/v1".len()..]
    }

    /// The word in internal addresses and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
        }
    }

    /// The operation in OpenTelemetry's words (`gen_ai.operation.name`).
    pub(crate) fn otel_operation(self) -> &'static str {
        match self {
            Self::Completions => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Chat | Self::Responses | Self::Messages | Self::CountTokens => "chat",
        }
    }

    /// The body of an error answer.
    #[must_use]
    pub fn error_body(self, error: &Error) -> String {
        self.error_object(chassis::status_of(error.kind()), chassis::error_body(error).error)
    }

    /// The body of an error answer with `status`.
    pub(crate) fn error_object(self, status: StatusCode, error: ErrorObject) -> String {
        match self {
            Self::Messages | Self::CountTokens => {
                wire::messages::error_body(status.as_u16(), &error.message).to_string()
            }
            _ => ErrorBody { error }.to_json(),
        }
    }

    /// The last event of a stream that can't be completed.
    #[must_use]
    pub fn last_event(self, error: &Error) -> Bytes {
        match self {
            Self::Messages | Self::CountTokens => event("error", &self.error_body(error)),
            Self::Responses => {
                let (code, param) = (error.code().unwrap_or("server_error"), error.param());
                // Nobody knows how many events came before; clients do not rely on the number of an error.
                let data = json!({"type": "error", "code": code, "message": error.message(), "param": param, "sequence_number": 0});
                event("error", &data.to_string())
            }
            _ => wire::sse::encode_data(&self.error_body(error)),
        }
    }
}

fn event(name: &str, data: &str) -> Bytes {
    wire::sse::Event { event: Some(name.into()), data: data.into() }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_own_words_for_an_error() {
        let error = Error::unavailable("gone").with_code("x");

        let said = [Dialect::Chat, Dialect::Responses, Dialect::Messages]
            .map(|dialect| String::from_utf8(dialect.last_event(&error).to_vec()).unwrap());

        assert!(said[0].starts_with(r#"data: {"error":{"message":"gone""#), "{said:?}");
        assert!(said[1].starts_with("event: error\ndata: {\"type\":\"error\",\"code\":\"x\""), "{said:?}");
        assert!(said[2].contains(r#""type":"overloaded_error""#), "{said:?}");
    }
}
