//! The cheap look at a request body: what routing needs, read in one pass that skips the rest, and the replacement of
//! the model name without rebuilding the body.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{fmt, ops::Range};

const MAX_TOKENS: u64 = 1_000_000_000;
const PREFIX_BYTES: usize = 1024;

/// What a request says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The model asked for.
    pub model: String,
    /// Where the model's JSON string stands in the body, quotes included.
    pub model_span: Range<usize>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// `max_completion_tokens`, or else `max_tokens`.
    pub max_tokens: Option<u64>,
    /// How many answers are asked for: `n`, or 1.
    pub choices: u64,
    /// The end user, as the caller names them.
    pub user: Option<String>,
    /// vLLM's scheduling priority.
    pub priority: Option<i64>,
    /// Where the priority's value stands in the body, if there is one.
    pub priority_span: Option<Range<usize>>,
    /// Whether the usage of a stream is asked for.
    pub include_usage: bool,
    /// Where the value of `stream_options` stands in the body, if there is one.
    pub stream_options_span: Option<Range<usize>>,
    /// Where the object's first member may be written: behind its opening brace.
    pub first_member: usize,
    /// Hash of the beginning of the prompt, equal for requests that share it; 0 without a prompt.
    pub prefix_hash: u64,
    /// Length of the prompt's JSON in bytes.
    pub prompt_bytes: usize,
}

impl Head {
    /// A guess at the prompt's tokens: one for four bytes.
    #[must_use]
    pub fn prompt_tokens_estimate(&self) -> u64 {
        self.prompt_bytes.div_ceil(4) as u64
    }
}

/// Why a body cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeekError {
    /// What is wrong, for the caller.
    pub message: String,
    /// The parameter that is wrong, if one is.
    pub param: Option<&'static str>,
}

impl PeekError {
    fn body(message: impl Into<String>) -> Self {
        Self { message: message.into(), param: None }
    }

    fn param(param: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param) }
    }
}

impl fmt::Display for PeekError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PeekError {}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_output_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    n: Option<&'a RawValue>,
    #[serde(borrow)]
    stream_options: Option<&'a RawValue>,
    #[serde(borrow)]
    user: Option<&'a RawValue>,
    #[serde(borrow)]
    priority: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// Reads the head of a JSON request body.
///
/// # Errors
/// When the body is no JSON object in UTF-8, or a field that routing needs is not what it must be.
pub fn peek(body: &[u8]) -> Result<Head, PeekError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        PeekError::body(format!("The request body is not valid UTF-8: wrong byte at position {}.", error.valid_up_to()))
    })?;
    let fields = parse(text)?;
    let model = fields.model.ok_or_else(|| {
        PeekError::param("model", "You must provide a model parameter: the name of a model, as a string.")
    })?;
    let span = |raw: &RawValue| {
        let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        start..start + raw.get().len()
    };
    let prompt = fields.messages.or(fields.prompt).or(fields.input);
    Ok(Head {
        model_span: span(model),
        model: serde_json::from_str(model.get())
            .map_err(|_| PeekError::param("model", "`model` must be a string: the name of a model."))?,
        stream: fields.stream.map_or(Ok(false), bool_of)?,
        max_tokens: max_tokens(&fields)?,
        // One that is no number is for the model server to refuse.
        choices: fields.n.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(1),
        user: fields.user.and_then(|raw| serde_json::from_str(raw.get()).ok()),
        priority: fields.priority.and_then(|raw| serde_json::from_str(raw.get()).ok()),
        priority_span: fields.priority.map(span),
        include_usage: fields.stream_options.is_some_and(asks_usage),
        stream_options_span: fields.stream_options.map(span),
        first_member: text.find('{').map_or(0, |brace| brace + 1),
        prefix_hash: prompt.map_or(0, prefix_hash),
        prompt_bytes: prompt.map_or(0, |raw| raw.get().len()),
    })
}

fn max_tokens(fields: &Fields<'_>) -> Result<Option<u64>, PeekError> {
    let named = [
        ("max_completion_tokens", fields.max_completion_tokens),
        ("max_output_tokens", fields.max_output_tokens),
        ("max_tokens", fields.max_tokens),
    ];
    let given = named.into_iter().find_map(|(param, raw)| Some((param, raw?)));
    given.map(|(param, raw)| limit_of(param, raw)).transpose()
}

fn asks_usage(options: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Options {
        include_usage: Option<bool>,
    }
    serde_json::from_str::<Options>(options.get()).is_ok_and(|options| options.include_usage == Some(true))
}

fn parse(text: &str) -> Result<Fields<'_>, PeekError> {
    let fields = serde_json::from_str::<Fields<'_>>(text);
    // An array would also fit the struct, by position.
    if !text.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok() {
        return Err(PeekError::body("The request body must be a JSON object."));
    }
    fields.map_err(|error| PeekError::body(format!("We could not parse the JSON body of your request: {error}.")))
}

fn bool_of(raw: &RawValue) -> Result<bool, PeekError> {
    serde_json::from_str(raw.get()).map_err(|_| PeekError::param("stream", "`stream` must be true or false."))
}

fn limit_of(param: &'static str, raw: &RawValue) -> Result<u64, PeekError> {
    match serde_json::from_str::<u64>(raw.get()) {
        Ok(limit @ 1..=MAX_TOKENS) => Ok(limit),
        _ => Err(PeekError::param(param, format!("`{param}` must be a whole number from 1 to {MAX_TOKENS}."))),
    }
}

fn prefix_hash(prompt: &RawValue) -> u64 {
    let bytes = prompt.get().as_bytes();
    xxhash_rust::xxh3::xxh3_64(&bytes[..bytes.len().min(PREFIX_BYTES)]).max(1)
}

/// A place in a body, and what is to stand there; an empty place is an insertion.
pub type Edit = (Range<usize>, Vec<u8>);

/// The edit that puts `model` in the place of the caller's.
#[must_use]
pub fn model_edit(head: &Head, model: &str) -> Edit {
    (head.model_span.clone(), serde_json::to_vec(model).expect("a string always serialises"))
}

/// The body with `edits` made, which must not overlap; every other byte stays as it was.
#[must_use]
pub fn splice(body: &Bytes, mut edits: Vec<Edit>) -> Bytes {
    edits.retain(|(span, text)| body[span.clone()] != **text);
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|(span, _)| span.start);
    let added: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut spliced = BytesMut::with_capacity(body.len() + added);
    let mut at = 0;
    for (span, text) in edits {
        spliced.extend_from_slice(&body[at..span.start]);
        spliced.extend_from_slice(&text);
        at = span.end;
    }
    spliced.extend_from_slice(&body[at..]);
    spliced.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(body: &str) -> PeekError {
        peek(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn everything_routing_needs_is_read() {
        let body = br#" {"model" : "m\u0031", "stream":true,"max_tokens":9,"max_completion_tokens":7,"user":"u","priority":-3,"messages":[]}"#;

        let head = peek(body).unwrap();

        assert_eq!(&body[head.model_span.clone()], br#""m\u0031""#);
        assert_eq!((head.model.as_str(), head.stream, head.max_tokens), ("m1", true, Some(7)));
        assert_eq!((head.user.as_deref(), head.priority), (Some("u"), Some(-3)));
        assert_ne!(head.prefix_hash, 0);
    }

    #[test]
    fn absent_and_null_fields_have_their_defaults() {
        for body in [r#"{"model":"m"}"#, r#"{"model":"m","stream":null,"max_tokens":null,"user":null,"priority":null}"#]
        {
            let head = peek(body.as_bytes()).unwrap();

            assert_eq!((head.stream, head.max_tokens, head.user, head.priority), (false, None, None, None));
            assert_eq!(head.prefix_hash, 0);
        }
    }

    #[test]
    fn a_nested_model_is_not_the_model() {
        assert_eq!(refused(r#"{"x":{"model":"m"}}"#).param, Some("model"));
    }

    #[test]
    fn bodies_that_are_no_json_object_are_refused() {
        for body in ["", "{nope", "[]", r#"["m"]"#, "null", "7", r#"{"model":"m"} x"#, r#"{"model":"a","model":"b"}"#] {
            assert_eq!(refused(body).param, None, "{body}");
        }
        assert!(peek(b"{\"model\":\"m\xff\"}").unwrap_err().message.contains("position 11"));
    }

    #[test]
    fn wrong_fields_are_named() {
        let cases = [
            (r"{}", "model"),
            (r#"{"model":null}"#, "model"),
            (r#"{"model":7}"#, "model"),
            (r#"{"model":"m","stream":"yes"}"#, "stream"),
            (r#"{"model":"m","max_tokens":0}"#, "max_tokens"),
            (r#"{"model":"m","max_tokens":-1}"#, "max_tokens"),
            (r#"{"model":"m","max_tokens":1.5}"#, "max_tokens"),
            (r#"{"model":"m","max_tokens":1000000001}"#, "max_tokens"),
            (r#"{"model":"m","max_completion_tokens":"7"}"#, "max_completion_tokens"),
        ];
        for (body, param) in cases {
            assert_eq!(refused(body).param, Some(param), "{body}");
        }
    }

    #[test]
    fn several_edits_are_made_in_one_pass() {
        let body = Bytes::from_static(br#" {"stream_options":{"include_usage":false},"model":"m","priority":7}"#);
        let head = peek(&body).unwrap();
        let edits = vec![
            model_edit(&head, "n"),
            (head.priority_span.clone().unwrap(), b"0".to_vec()),
            (head.first_member..head.first_member, br#""a":1,"#.to_vec()),
            (head.stream_options_span.clone().unwrap(), b"{}".to_vec()),
        ];

        let spliced = splice(&body, edits);

        assert_eq!(spliced, &br#" {"a":1,"stream_options":{},"model":"n","priority":0}"#[..]);
    }

    #[test]
    fn usage_is_asked_for_only_in_so_many_words() {
        let asked = [
            r#"{"model":"m","stream_options":{"include_usage":true,"x":1}}"#,
            r#"{"model":"m","stream_options":{"include_usage":false}}"#,
            r#"{"model":"m","stream_options":null}"#,
            r#"{"model":"m"}"#,
        ]
        .map(|body| peek(body.as_bytes()).unwrap().include_usage);

        assert_eq!(asked, [true, false, false, false]);
    }

    #[test]
    fn prompts_that_begin_alike_share_their_hash() {
        let body = |tail: &str| format!(r#"{{"model":"m","prompt":"{}{tail}"}}"#, "x".repeat(2000));

        let hashes = [peek(body("a").as_bytes()), peek(body("b").as_bytes())].map(|head| head.unwrap().prefix_hash);

        assert_eq!(hashes[0], hashes[1]);
    }

    proptest! {
        #[test]
        fn splicing_changes_the_model_and_nothing_else(old in any::<String>(), new in any::<String>(), before in any::<String>(), after in any::<String>()) {
            let (old_json, new_json) = (serde_json::to_string(&old).unwrap(), serde_json::to_string(&new).unwrap());
            let around = |model: &str| {
                let (before, after) = (serde_json::to_string(&before).unwrap(), serde_json::to_string(&after).unwrap());
                format!("{{ \"before\" : {before},\n\"model\": {model} , \"after\":[{after}] }}")
            };
            let body = Bytes::from(around(&old_json));

            let head = peek(&body).unwrap();
            let spliced = splice(&body, vec![model_edit(&head, &new)]);

            prop_assert_eq!(&head.model, &old);
            prop_assert_eq!(spliced, Bytes::from(around(&new_json)));
        }

        #[test]
        fn peeking_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = peek(&body);
        }
    }
}
