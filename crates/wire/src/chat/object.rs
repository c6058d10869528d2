//! How a written object takes in fields that the pivot kept aside.

use serde_json::{Map, Value};

/// Hints of another dialect: where to cache, who called, and how a tool is shown, streamed and tried. They change the
/// price or the manner and not what is asked for, and servers of this dialect refuse them or don't know them.
const HINTS: [&str; 7] = [
    "cache_control",
    "caller",
    "toolset_name",
    "allowed_callers",
    "defer_loading",
    "eager_input_streaming",
    "input_examples",
];

/// An object being written.
pub(super) trait Object {
    /// Adds a field, unless it is absent.
    fn add(&mut self, name: &str, value: Option<impl Into<Value>>);

    /// Moves a field of `rest` here.
    fn add_known(&mut self, rest: &mut Map<String, Value>, name: &str);

    /// Moves the fields that `rest` keeps for the inner object `name` into it.
    fn add_inner(&mut self, rest: &mut Map<String, Value>, name: &str);

    /// Adds what nobody knows. What was written stays.
    fn add_rest(&mut self, rest: &Map<String, Value>);
}

impl Object for Value {
    fn add(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let (Some(fields), Some(value)) = (self.as_object_mut(), value) {
            fields.insert(name.to_owned(), value.into());
        }
    }

    fn add_known(&mut self, rest: &mut Map<String, Value>, name: &str) {
        self.add(name, rest.shift_remove(name));
    }

    fn add_inner(&mut self, rest: &mut Map<String, Value>, name: &str) {
        let Some(inner) = self.get_mut(name).filter(|inner| inner.is_object()) else { return };
        match rest.shift_remove(name) {
            Some(Value::Object(fields)) => inner.add_rest(&fields),
            Some(other) => {
                rest.insert(name.to_owned(), other);
            }
            None => {}
        }
    }

    fn add_rest(&mut self, rest: &Map<String, Value>) {
        let Some(fields) = self.as_object_mut() else { return };
        for (name, value) in without_hints(rest) {
            if !fields.contains_key(name) {
                fields.insert(name.clone(), value.clone());
            }
        }
    }
}

/// What of a `rest` is written.
pub(super) fn without_hints(rest: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    rest.iter().filter(|(name, _)| !HINTS.contains(&name.as_str()))
}
