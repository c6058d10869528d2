//! Judging one line of a batch input: the checks that need nothing but the line itself.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Why a line is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) param: Option<&'static str>,
}

/// What the ingestion wants to know of a good line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GoodLine<'a> {
    pub(crate) custom_id: Cow<'a, str>,
    pub(crate) url: Cow<'a, str>,
    pub(crate) model: Cow<'a, str>,
    /// What it may generate, if it says so.
    pub(crate) max_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    custom_id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_completion_tokens: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a line. The body is looked at, never rebuilt.
pub(crate) fn judge(line: &[u8]) -> Result<GoodLine<'_>, Refusal> {
    let text = std::str::from_utf8(line).map_err(|error| {
        refuse("invalid_json_line", format!("This line is not valid UTF-8 at byte {}.", error.valid_up_to()))
    })?;
    let envelope: Envelope = from_object(text).map_err(|error| not_an_object(&error))?;
    let custom_id = required_text(envelope.custom_id, "custom_id")?;
    let method = required_text(envelope.method, "method")?;
    if method != "POST" {
        return Err(invalid(format!("'method' must be \"POST\", not \"{}\".", clip(&method)), "method"));
    }
    let url = required_text(envelope.url, "url")?;
    let body = envelope.body.ok_or_else(|| missing("body"))?;
    let body: Body =
        from_object(body.get()).map_err(|_| invalid("'body' must be a JSON object.".to_owned(), "body"))?;
    let model = required_text(body.model, "body.model")?;
    if body.stream.is_some_and(|stream| stream.get() != "false") {
        return Err(invalid("'body.stream' must be false or left out in a batch.".to_owned(), "body.stream"));
    }
    let max_tokens = body.max_completion_tokens.or(body.max_tokens).and_then(|value| value.get().parse().ok());
    Ok(GoodLine { custom_id, url, model, max_tokens })
}

/// An array of the right length would do for serde; here it must be an object.
fn from_object<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text);
    }
    serde_json::from_str::<&RawValue>(text)?;
    Err(serde::de::Error::custom("not an object"))
}

fn required_text<'a>(value: Option<&'a RawValue>, param: &'static str) -> Result<Cow<'a, str>, Refusal> {
    let value = value.ok_or_else(|| missing(param))?;
    let Text(text) =
        serde_json::from_str(value.get()).map_err(|_| invalid(format!("'{param}' must be a string."), param))?;
    if text.is_empty() { Err(missing(param)) } else { Ok(text) }
}

fn not_an_object(error: &serde_json::Error) -> Refusal {
    if error.is_data() {
        return refuse("invalid_request", "This line must be one JSON object whose keys do not repeat.".to_owned());
    }
    refuse("invalid_json_line", "This line is not parseable as valid JSON.".to_owned())
}

fn missing(param: &'static str) -> Refusal {
    let message = format!("Missing required parameter: '{param}'.");
    Refusal { code: "missing_required_parameter", message, param: Some(param) }
}

fn invalid(message: String, param: &'static str) -> Refusal {
    Refusal { code: "invalid_request", message, param: Some(param) }
}

fn refuse(code: &'static str, message: String) -> Refusal {
    Refusal { code, message, param: None }
}

/// At most the first 200 bytes, cut between characters: what a client sent is quoted, not stored whole.
pub(crate) fn clip(text: &str) -> &str {
    let end = (0..=200).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end.min(text.len())).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_and_param(line: &str) -> (&'static str, Option<&'static str>) {
        let refusal = judge(line.as_bytes()).unwrap_err();
        (refusal.code, refusal.param)
    }

    #[test]
    fn a_good_line_tells_its_url_model_and_budget() {
        let line = br#"{"custom_id":"a\u00e9","method":"POST","url":"/v1/x","body":{"model":"m","max_tokens":7,"stream":false}}"#;

        let good = judge(line).unwrap();

        assert_eq!((&*good.custom_id, &*good.url, &*good.model, good.max_tokens), ("aé", "/v1/x", "m", Some(7)));
    }

    #[test]
    fn every_mistake_has_its_code_and_parameter() {
        for (line, expected) in [
            ("{", ("invalid_json_line", None)),
            ("[]", ("invalid_request", None)),
            ("7", ("invalid_request", None)),
            (r#"["a","POST","u",{"model":"m"}]"#, ("invalid_request", None)),
            ("[", ("invalid_json_line", None)),
            (r#"{"custom_id":"a","custom_id":"b"}"#, ("invalid_request", None)),
            ("{} {}", ("invalid_json_line", None)),
            (r#"{"custom_id":"\x"}"#, ("invalid_json_line", None)),
            ("{}", ("missing_required_parameter", Some("custom_id"))),
            (r#"{"custom_id":null}"#, ("missing_required_parameter", Some("custom_id"))),
            (r#"{"custom_id":""}"#, ("missing_required_parameter", Some("custom_id"))),
            (r#"{"custom_id":3}"#, ("invalid_request", Some("custom_id"))),
            (r#"{"custom_id":"a"}"#, ("missing_required_parameter", Some("method"))),
            (r#"{"custom_id":"a","method":"GET"}"#, ("invalid_request", Some("method"))),
            (r#"{"custom_id":"a","method":"POST"}"#, ("missing_required_parameter", Some("url"))),
            (r#"{"custom_id":"a","method":"POST","url":"u"}"#, ("missing_required_parameter", Some("body"))),
            (r#"{"custom_id":"a","method":"POST","url":"u","body":"x"}"#, ("invalid_request", Some("body"))),
            (r#"{"custom_id":"a","method":"POST","url":"u","body":[]}"#, ("invalid_request", Some("body"))),
            (
                r#"{"custom_id":"a","method":"POST","url":"u","body":{}}"#,
                ("missing_required_parameter", Some("body.model")),
            ),
            (
                r#"{"custom_id":"a","method":"POST","url":"u","body":{"model":1}}"#,
                ("invalid_request", Some("body.model")),
            ),
            (
                r#"{"custom_id":"a","method":"POST","url":"u","body":{"model":"m","stream":true}}"#,
                ("invalid_request", Some("body.stream")),
            ),
        ] {
            assert_eq!(code_and_param(line), expected, "{line}");
        }
    }

    #[test]
    fn invalid_utf8_is_refused_where_it_begins() {
        let refusal = judge(b"{\"custom_id\":\"\xff\"}").unwrap_err();

        assert_eq!(
            (refusal.code, &*refusal.message),
            ("invalid_json_line", "This line is not valid UTF-8 at byte 14.")
        );
    }

    #[test]
    fn clipping_never_cuts_a_character() {
        assert_eq!(clip("short"), "short");
        assert_eq!(clip(&"é".repeat(300)).len(), 200);
        assert_eq!(clip(&format!("a{}", "é".repeat(300))).len(), 199);
    }
}
