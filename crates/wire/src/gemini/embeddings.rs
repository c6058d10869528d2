//! Embeddings: a request of OpenAI's API as the body of `:predict` of a text embedding model, and its answer back.

use super::{PROVIDER, response::unreadable};
use crate::pivot::TranslateError;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// How the caller wants the vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As numbers.
    #[default]
    Float,
    /// As base64 of little-endian 32-bit floats, which OpenAI's SDKs ask for.
    Base64,
}

#[derive(Deserialize)]
struct Request {
    input: Value,
    dimensions: Option<u64>,
    encoding_format: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Fields of OpenAI's that do not change the vectors.
const HARMLESS: [&str; 3] = ["model", "user", "metadata"];

/// Writes the body of `:predict`, and tells how the answer must be encoded. Google's `task_type`, `title` and
/// `auto_truncate` may be given too. Unless asked, nothing is truncated: as with OpenAI, a text that is too long is an
/// error. Google takes at most 250 texts at once, and a single one with `gemini-embedding-001`.
///
/// # Errors
/// When the request can't be read, or asks for something Google has no words for.
pub fn write_request(body: &[u8]) -> Result<(Value, Encoding), TranslateError> {
    let request: Request = serde_json::from_slice(body)
        .map_err(|error| TranslateError { message: format!("The request can't be read: {error}."), param: None })?;
    let encoding = match request.encoding_format.as_deref() {
        None | Some("float") => Encoding::Float,
        Some("base64") => Encoding::Base64,
        Some(_) => {
            let message = "`encoding_format` must be `float` or `base64`.";
            return Err(TranslateError::invalid("encoding_format", message));
        }
    };
    let mut instance = Map::new();
    let mut parameters = Map::from_iter([("autoTruncate".to_owned(), Value::Bool(false))]);
    for (name, value) in request.rest.into_iter().filter(|(_, value)| !value.is_null()) {
        match name.as_str() {
            "task_type" | "taskType" => drop(instance.insert("task_type".into(), value)),
            "title" => drop(instance.insert(name, value)),
            "auto_truncate" | "autoTruncate" => drop(parameters.insert("autoTruncate".into(), value)),
            name if HARMLESS.contains(&name) => {}
            _ => return Err(TranslateError::unsupported(name, PROVIDER)),
        }
    }
    if let Some(dimensions) = request.dimensions {
        parameters.insert("outputDimensionality".into(), dimensions.into());
    }
    let instances: Value = texts(request.input)?
        .into_iter()
        .map(|text| {
            let mut instance = instance.clone();
            instance.insert("content".into(), text.into());
            instance
        })
        .collect();
    Ok((json!({ "instances": instances, "parameters": parameters }), encoding))
}

fn texts(input: Value) -> Result<Vec<String>, TranslateError> {
    let texts = match input {
        Value::String(text) => Some(vec![text]),
        Value::Array(texts) if !texts.is_empty() => texts.into_iter().map(text).collect(),
        _ => None,
    };
    texts.ok_or_else(|| {
        // Token numbers are of another model's vocabulary.
        TranslateError::invalid("input", "`input` must be a text or a list of texts with this model.")
    })
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Predictions {
    predictions: Vec<Prediction>,
}

#[derive(Deserialize)]
struct Prediction {
    embeddings: Embedding,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f32>,
    statistics: Option<Statistics>,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(alias = "tokenCount")]
    token_count: Option<f64>,
}

/// Reads the answer of `:predict` and writes it as OpenAI would; `model` is the name the caller used.
///
/// # Errors
/// When it is not what the dialect says it must be.
pub fn read_answer(body: &[u8], model: &str, encoding: Encoding) -> Result<Value, TranslateError> {
    let answer: Predictions = serde_json::from_slice(body).map_err(|error| unreadable(&error.to_string()))?;
    let tokens: u64 = answer.predictions.iter().map(count_tokens).sum();
    let data: Value = answer
        .predictions
        .into_iter()
        .enumerate()
        .map(|(index, prediction)| {
            let embedding = encode(&prediction.embeddings.values, encoding);
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    Ok(json!({
        "object": "list",
        "data": data,
        "model": model,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    }))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "Google may write the whole number as a float; the cast saturates"
)]
fn count_tokens(prediction: &Prediction) -> u64 {
    let statistics = prediction.embeddings.statistics.as_ref();
    statistics.and_then(|statistics| statistics.token_count).unwrap_or(0.0) as u64
}

fn encode(values: &[f32], encoding: Encoding) -> Value {
    match encoding {
        Encoding::Float => values.into(),
        Encoding::Base64 => {
            let bytes: Vec<_> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            BASE64_STANDARD.encode(bytes).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = br#"{"predictions":[
        {"embeddings":{"values":[0.5,-1],"statistics":{"token_count":4,"truncated":false}}},
        {"embeddings":{"statistics":{"truncated":false,"token_count":3.0},"values":[1,0]}}],
        "metadata":{"billableCharacterCount":20}}"#;

    #[test]
    fn a_request_becomes_instances() {
        let body = br#"{"model":"m","input":["a","b"],"dimensions":256,"encoding_format":"base64","user":null,
            "task_type":"RETRIEVAL_QUERY"}"#;

        let (written, encoding) = write_request(body).unwrap();

        assert_eq!(encoding, Encoding::Base64);
        assert_eq!(
            written,
            json!({
                "instances": [
                    {"content": "a", "task_type": "RETRIEVAL_QUERY"},
                    {"content": "b", "task_type": "RETRIEVAL_QUERY"},
                ],
                "parameters": {"autoTruncate": false, "outputDimensionality": 256},
            })
        );
    }

    #[test]
    fn one_text_needs_no_list() {
        let (written, encoding) = write_request(br#"{"model":"m","input":"a","auto_truncate":true}"#).unwrap();

        assert_eq!(encoding, Encoding::Float);
        assert_eq!(written, json!({"instances": [{"content": "a"}], "parameters": {"autoTruncate": true}}));
    }

    #[test]
    fn what_cannot_be_embedded_is_refused() {
        for (body, param) in [
            (r#"{"input":[1,2]}"#, Some("input")),
            (r#"{"input":[[1,2]]}"#, Some("input")),
            (r#"{"input":[]}"#, Some("input")),
            (r#"{"input":"a","encoding_format":"int8"}"#, Some("encoding_format")),
            (r#"{"input":"a","truncate_prompt_tokens":5}"#, Some("truncate_prompt_tokens")),
            (r#"{"model":"m"}"#, None),
        ] {
            assert_eq!(write_request(body.as_bytes()).unwrap_err().param.as_deref(), param, "{body}");
        }
    }

    #[test]
    fn an_answer_has_vectors_and_usage() {
        let answer = read_answer(ANSWER, "embed", Encoding::Float).unwrap();

        assert_eq!(
            answer,
            json!({
                "object": "list",
                "data": [
                    {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
                    {"object": "embedding", "index": 1, "embedding": [1.0, 0.0]},
                ],
                "model": "embed",
                "usage": {"prompt_tokens": 7, "total_tokens": 7},
            })
        );
    }

    #[test]
    fn base64_is_of_little_endian_floats() {
        let answer = read_answer(ANSWER, "embed", Encoding::Base64).unwrap();

        assert_eq!(answer["data"][1]["embedding"], "AACAPwAAAAA=");
    }

    #[test]
    fn anything_else_is_refused() {
        for body in ["", "{}", r#"{"predictions":[{}]}"#] {
            assert!(read_answer(body.as_bytes(), "embed", Encoding::Float).is_err(), "{body}");
        }
    }
}
