//! What bodies and query strings of the admin API may hold.

use crate::paging;
use domain::{Error, Result, judge_name, judge_note};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wire::batch::List;

/// A page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Give what comes after the item of this id: the `last_id` of the page before.
    after: Option<String>,
    /// At most this many; 20 where it is not said.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    limit: Option<String>,
}

impl ListQuery {
    /// The id to go on after.
    pub(crate) fn after<T>(&self, id: impl Fn(String) -> T) -> Option<T> {
        self.after.clone().map(id)
    }

    /// How many are asked for.
    pub(crate) fn limit(&self) -> Result<i64> {
        limit(self.limit.as_deref())
    }
}

/// How many items a page may have.
pub(crate) fn limit(given: Option<&str>) -> Result<i64> {
    paging::limit(given, 20, 100)
}

/// A page of rows in the shape of the wire.
pub(crate) fn page<R, T>(
    (rows, has_more): (Vec<R>, bool),
    to_wire: impl Fn(R) -> T,
    id: impl Fn(&T) -> &str,
) -> List<T> {
    List::new(rows.into_iter().map(to_wire).collect(), has_more, id)
}

/// A name: something to read on one line.
pub(crate) fn name(param: &str, text: String) -> Result<String> {
    judge_name(&text).map_err(|wrong| invalid(param, format!("`{param}` {wrong}.")))?;
    Ok(text)
}

/// A note: it may be empty.
pub(crate) fn note(text: String) -> Result<String> {
    judge_note(&text).map_err(|wrong| invalid("note", format!("`note` {wrong}.")))?;
    Ok(text)
}

/// A value that is not allowed.
pub(crate) fn invalid(param: &str, message: String) -> Error {
    Error::invalid(message).with_param(param).with_code("invalid_value")
}

/// Nothing of that id.
pub(crate) fn no_such(what: &str, id: &str) -> Error {
    let shown: String = id.chars().take(64).collect();
    Error::not_found(format!("There is no {what} `{shown}`."))
}

/// The answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deleted {
    /// What is gone.
    id: String,
    /// What it was.
    object: &'static str,
    /// Always true.
    deleted: bool,
}

impl Deleted {
    pub(crate) fn new(object: &'static str, id: impl ToString) -> Self {
        Self { id: id.to_string(), object, deleted: true }
    }
}

/// Milliseconds as the seconds of the wire.
pub(crate) fn secs(ms: i64) -> i64 {
    ms.div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_parameter() {
        let refused = name("models", "a\nb".to_owned()).unwrap_err();

        assert_eq!((refused.param(), refused.message()), (Some("models"), "`models` has more than one line."));
        assert_eq!(note("two\nlines".to_owned()).unwrap(), "two\nlines");
    }
}
