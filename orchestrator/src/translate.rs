//! Between the caller's dialect and the provider's, through the one pivot. Which modules of `wire` do it, and nothing else.

use crate::{
    Dialect, ModelRequest,
    failure::UpstreamError,
    reading::{Grammar, Seen, read_whole},
    speech::Speech,
};
use bytes::Bytes;
use chrono::Utc;
use domain::{Error, Result};
use serde_json::Value;
use wire::{
    chat, gemini, messages,
    pivot::{Answer, Decode, Encode, Request, TranslateError},
    responses::{self, Echo},
};

/// A request in the provider's words.
pub(crate) struct Translated {
    pub(crate) body: Value,
    /// None for what has no pivot, as embeddings.
    pub(crate) meaning: Option<Box<Meaning>>,
}

/// What a translated request means, for its answer to be written.
#[derive(Debug)]
pub(crate) struct Meaning {
    request: Request,
    /// What an answer of the Responses API repeats of its request.
    echo: Option<Echo>,
}

/// Puts a request into the dialect of `speech`, with the provider's name of the model.
///
/// # Errors
/// `InvalidRequest` with the parameter that is wrong, or that the provider has no words for.
pub(crate) fn request(speech: Speech, dialect: Dialect, body: &Bytes, model: &str) -> Result<Translated> {
    if dialect == Dialect::Embeddings {
        let (body, _) = gemini::embeddings::write_request(body).map_err(invalid)?;
        return Ok(Translated { body, meaning: None });
    }
    let mut meaning = read(dialect, body).map_err(|error| invalid(in_callers_words(error, dialect)))?;
    let read = &mut meaning.request;
    let asked = std::mem::replace(&mut read.model, model.to_owned());
    let shows_usage = std::mem::replace(&mut read.include_usage, read.stream);
    let body = match speech {
        Speech::Messages => messages::write_request(read),
        Speech::Gemini => gemini::write_request(read),
        Speech::Chat | Speech::Same => chat::write_request(read),
    }
    .map_err(|error| invalid(in_callers_words(error, dialect)))?;
    read.include_usage = shows_usage;
    read.model = asked;
    Ok(Translated { body, meaning: Some(Box::new(meaning)) })
}

fn read(dialect: Dialect, body: &Bytes) -> Result<Meaning, TranslateError> {
    Ok(match dialect {
        Dialect::Responses => {
            let echo = Echo::read(body, Utc::now().timestamp())?;
            Meaning { request: responses::read_request(body)?, echo: Some(echo) }
        }
        Dialect::Messages | Dialect::CountTokens => Meaning { request: messages::read_request(body)?, echo: None },
        _ => Meaning { request: chat::read_request(body)?, echo: None },
    })
}

/// Providers' modules name parameters as chat completions do; who wrote in another dialect knows them by other names.
fn in_callers_words(error: TranslateError, dialect: Dialect) -> TranslateError {
    let names: &[(&str, &str)] = match dialect {
        Dialect::Responses => &RESPONSES_NAMES,
        Dialect::Messages | Dialect::CountTokens => &MESSAGES_NAMES,
        _ => return error,
    };
    let Some(param) = &error.param else { return error };
    let first = param.split(['[', '.']).next().unwrap_or(param);
    let Some((_, name)) = names.iter().find(|(chat, _)| *chat == first) else { return error };
    let message = error.message.replace(&format!("`{param}`"), &format!("`{name}`"));
    TranslateError { message, param: Some((*name).to_owned()) }
}

const RESPONSES_NAMES: [(&str, &str); 6] = [
    ("messages", "input"),
    ("max_tokens", "max_output_tokens"),
    ("response_format", "text.format"),
    ("reasoning_effort", "reasoning.effort"),
    ("verbosity", "text.verbosity"),
    ("logprobs", "top_logprobs"),
];
const MESSAGES_NAMES: [(&str, &str); 3] =
    [("stop", "stop_sequences"), ("response_format", "output_config.format"), ("reasoning_effort", "thinking")];

/// How a stream in the dialect of `speech` is read for a caller of `dialect` who asked for `meaning`.
pub(crate) fn stream(speech: Speech, dialect: Dialect, meaning: &Meaning) -> Grammar {
    let from: Box<dyn Decode> = match speech {
        Speech::Messages => Box::new(messages::StreamReader::default()),
        Speech::Gemini => Box::new(gemini::StreamReader::new(meaning.request.n.unwrap_or(1))),
        Speech::Chat | Speech::Same => Box::new(chat::StreamReader::default()),
    };
    let to: Box<dyn Encode> = match (dialect, &meaning.echo) {
        (_, Some(echo)) => Box::new(responses::StreamWriter::new(echo.clone())),
        (Dialect::Messages | Dialect::CountTokens, _) => Box::new(messages::StreamWriter::default()),
        _ => Box::new(chat::StreamWriter::new(meaning.request.include_usage)),
    };
    Grammar::Translated { from, to }
}

/// Reads a whole answer in the dialect of `speech`.
///
/// # Errors
/// When it is not what that dialect says.
pub(crate) fn read_answer(speech: Speech, body: &Bytes) -> Result<Answer, UpstreamError> {
    let answer = match speech {
        Speech::Messages => messages::read_answer(body),
        Speech::Gemini => gemini::read_answer(body),
        Speech::Chat | Speech::Same => chat::read_answer(body),
    };
    answer.map_err(|error| UpstreamError::malformed(&error.message))
}

/// Writes a whole answer for a caller of `dialect` who asked for `meaning`.
pub(crate) fn write_answer(dialect: Dialect, answer: &Answer, meaning: &Meaning) -> Value {
    match (dialect, &meaning.echo) {
        (_, Some(echo)) => responses::write_answer(answer, echo),
        (Dialect::Messages | Dialect::CountTokens, _) => messages::write_answer(answer),
        _ => chat::write_answer(answer),
    }
}

/// A whole answer with embeddings, in OpenAI's words.
///
/// # Errors
/// When it is not what Vertex AI's prediction says.
pub(crate) fn embeddings(request: &ModelRequest, body: &Bytes) -> Result<(Bytes, Seen), UpstreamError> {
    let malformed = |error: TranslateError| UpstreamError::malformed(&error.message);
    // How the numbers are wanted stands in the request.
    let (_, encoding) = gemini::embeddings::write_request(&request.body).map_err(malformed)?;
    let answer = gemini::embeddings::read_answer(body, &request.head.model, encoding).map_err(malformed)?;
    let text = answer.to_string();
    let seen = read_whole(Dialect::Embeddings, &text).unwrap_or_default();
    Ok((text.into(), seen))
}

fn invalid(error: TranslateError) -> Error {
    let told = Error::invalid(error.message);
    error.param.into_iter().fold(told, Error::with_param)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_named_as_its_caller_knows_it() {
        let error = || TranslateError::unsupported("messages[2].content[0]", "Gemini");

        let told = in_callers_words(error(), Dialect::Responses);

        assert_eq!(told.param.as_deref(), Some("input"));
        assert!(told.message.starts_with("`input` is not supported"), "{}", told.message);
        assert_eq!(in_callers_words(error(), Dialect::Chat), error());
    }
}
