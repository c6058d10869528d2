//! What bodies and query strings of the admin API may hold.

use crate::paging;
use domain::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wire::batch::List;

/// The longest name of anything.
pub(super) const NAME_CHARS: usize = 256;
/// The longest note.
pub(super) const NOTE_CHARS: usize = 4_096;

/// A page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Give what comes after the item of this id: the `last_id` of the page before.
    after: Option<String>,
    /// At most this many; 20 where it is not said.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    limit: Option<String>,
}

impl ListQuery {
    /// The id to go on after.
    pub(super) fn after<T>(&self, id: impl Fn(String) -> T) -> Option<T> {
        self.after.clone().map(id)
    }

    /// How many are asked for.
    pub(super) fn limit(&self) -> Result<i64> {
        limit(self.limit.as_deref())
    }
}

/// How many items a page may have.
pub(super) fn limit(given: Option<&str>) -> Result<i64> {
    paging::limit(given, 20, 100)
}

/// A page of rows in the shape of the wire.
pub(super) fn page<R, T>(
    (rows, has_more): (Vec<R>, bool),
    to_wire: impl Fn(R) -> T,
    id: impl Fn(&T) -> &str,
) -> List<T> {
    List::new(rows.into_iter().map(to_wire).collect(), has_more, id)
}

/// A name: something to read on one line.
pub(super) fn name(param: &str, text: String) -> Result<String> {
    if text.trim().is_empty() {
        return Err(invalid(param, format!("`{param}` must not be empty.")));
    }
    bounded(param, text, NAME_CHARS)
}

/// A note: it may be empty.
pub(super) fn note(text: String) -> Result<String> {
    bounded("note", text, NOTE_CHARS)
}

fn bounded(param: &str, text: String, most: usize) -> Result<String> {
    if text.chars().count() > most {
        return Err(invalid(param, format!("`{param}` is longer than {most} characters.")));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(invalid(param, format!("`{param}` has control characters in it.")));
    }
    Ok(text)
}

/// A value that is not allowed.
pub(super) fn invalid(param: &str, message: String) -> Error {
    Error::invalid(message).with_param(param).with_code("invalid_value")
}

/// Nothing of that id.
pub(super) fn no_such(what: &str, id: &str) -> Error {
    let shown: String = id.chars().take(64).collect();
    Error::not_found(format!("There is no {what} `{shown}`."))
}

/// The answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    /// What is gone.
    id: String,
    /// What it was.
    object: &'static str,
    /// Always true.
    deleted: bool,
}

impl Deleted {
    pub(super) fn new(object: &'static str, id: impl ToString) -> Self {
        Self { id: id.to_string(), object, deleted: true }
    }
}

/// Milliseconds as the seconds of the wire.
pub(super) fn secs(ms: i64) -> i64 {
    ms.div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_have_no_control_characters() {
        assert!(name("name", "é".repeat(NAME_CHARS)).is_ok());
        for bad in ["", "  ", "a\0b", "a\u{1b}[31m", &"é".repeat(NAME_CHARS + 1)] {
            assert_eq!(name("name", bad.to_owned()).unwrap_err().param(), Some("name"), "{bad:?}");
        }
        assert_eq!(note("two\nlines".to_owned()).unwrap(), "two\nlines");
    }
}
