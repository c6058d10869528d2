//! The `response` object: whole answers are one, and several events of a stream hold one.

use super::{echo::Echo, items, usage};
use crate::pivot::{Finish, StreamError, Usage};
use serde_json::{Map, Value, json};

/// Who answers.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) created: Option<i64>,
}

/// How far an answer got.
#[derive(Debug)]
pub(super) enum Standing {
    InProgress,
    Completed,
    /// And why, if the dialect has a word for it.
    Incomplete(Option<&'static str>),
    Failed(StreamError),
}

impl Standing {
    /// `declined` = the answer holds a refusal. A provider that cut an answer off because of what it says, without
    /// letting the model decline, is a filter in this dialect.
    pub(super) fn of(finish: Option<&Finish>, declined: bool) -> Self {
        match finish {
            None | Some(Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls) => Self::Completed,
            Some(Finish::Refusal) if declined => Self::Completed,
            Some(Finish::Refusal | Finish::ContentFilter) => Self::Incomplete(Some("content_filter")),
            Some(Finish::Length) => Self::Incomplete(Some("max_output_tokens")),
            // Whatever it was, it was not a normal end.
            Some(Finish::Pause | Finish::Other(_)) => Self::Incomplete(None),
        }
    }

    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::InProgress => items::IN_PROGRESS,
            Self::Completed => items::COMPLETED,
            Self::Incomplete(_) => items::INCOMPLETE,
            Self::Failed(_) => "failed",
        }
    }
}

/// Writes the object. `rest` holds the provider's own fields, which come last and replace nothing but nulls.
pub(super) fn write(
    echo: &Echo,
    head: &Head,
    standing: &Standing,
    output: &[Value],
    usage: Option<&Usage>,
    rest: &Map<String, Value>,
) -> Value {
    let model = if head.model.is_empty() { &echo.model } else { &head.model };
    let (details, error) = match standing {
        Standing::Incomplete(Some(reason)) => (json!({ "reason": reason }), Value::Null),
        Standing::Incomplete(None) => (json!({}), Value::Null),
        Standing::Failed(error) => (Value::Null, write_error(error)),
        _ => (Value::Null, Value::Null),
    };
    let mut response = Map::new();
    for (name, value) in [
        ("id", items::response_id(&head.id).into()),
        ("object", "response".into()),
        ("created_at", head.created.unwrap_or(echo.created_at).into()),
        ("status", standing.status().into()),
        ("error", error),
        ("incomplete_details", details),
        ("model", model.as_str().into()),
        ("output", output.into()),
        ("usage", usage.map(usage::write).unwrap_or_default()),
    ] {
        response.insert(name.to_owned(), value);
    }
    response.extend(echo.fields.clone());
    let always_null = ["error", "incomplete_details", "usage"];
    for (name, value) in rest {
        let replaced = response.get(name).is_none_or(Value::is_null) && !always_null.contains(&name.as_str());
        if replaced {
            response.insert(name.clone(), value.clone());
        }
    }
    response.into()
}

/// The dialect has few codes; `type` keeps the provider's word.
fn write_error(error: &StreamError) -> Value {
    let told = [error.code.as_deref().unwrap_or_default(), error.kind.as_str()];
    let is_limit = told.iter().any(|word| {
        let word = word.to_ascii_lowercase();
        word == "429" || word == "resource_exhausted" || word.starts_with("rate_limit")
    });
    let code = if is_limit {
        "rate_limit_exceeded"
    } else if told.contains(&"invalid_prompt") {
        "invalid_prompt"
    } else {
        "server_error"
    };
    json!({ "code": code, "message": error.message, "type": error.kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_status() {
        for (finish, declined, status, reason) in [
            (None, false, "completed", None),
            (Some(Finish::Stop), false, "completed", None),
            (Some(Finish::StopSequence(None)), false, "completed", None),
            (Some(Finish::ToolCalls), false, "completed", None),
            (Some(Finish::Refusal), true, "completed", None),
            (Some(Finish::Refusal), false, "incomplete", Some("content_filter")),
            (Some(Finish::ContentFilter), false, "incomplete", Some("content_filter")),
            (Some(Finish::Length), false, "incomplete", Some("max_output_tokens")),
            (Some(Finish::Pause), false, "incomplete", None),
            (Some(Finish::Other("abort".into())), false, "incomplete", None),
        ] {
            let standing = Standing::of(finish.as_ref(), declined);

            assert_eq!(standing.status(), status, "{finish:?}");
            let told = if let Standing::Incomplete(reason) = standing { reason } else { None };
            assert_eq!(told, reason, "{finish:?}");
        }
    }

    #[test]
    fn an_error_has_one_of_few_codes_and_its_own_type() {
        for (kind, code, expected) in [
            ("rate_limit_error", None, "rate_limit_exceeded"),
            ("RESOURCE_EXHAUSTED", Some("429"), "rate_limit_exceeded"),
            ("overloaded_error", None, "server_error"),
            ("invalid_request_error", Some("invalid_prompt"), "invalid_prompt"),
        ] {
            let error = StreamError { kind: kind.into(), code: code.map(Into::into), message: "Sorry.".into() };

            assert_eq!(write_error(&error), json!({"code": expected, "message": "Sorry.", "type": kind}));
        }
    }
}
