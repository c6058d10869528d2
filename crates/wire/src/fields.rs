//! One JSON object, read field by field. It knows its own place, so that every error names the field, and no dialect.

use crate::pivot::TranslateError;
use serde_json::{Map, Value};

/// The fields not read yet. Null is absent.
pub(crate) struct Fields {
    place: String,
    fields: Map<String, Value>,
}

impl Fields {
    /// The object at `place`.
    pub(crate) fn new(value: Value, place: impl Into<String>) -> Result<Self, TranslateError> {
        let place = place.into();
        match value {
            Value::Object(fields) => Ok(Self { place, fields }),
            _ => Err(must_be(&place, "an object")),
        }
    }

    /// A whole body.
    pub(crate) fn of_body(body: &[u8]) -> Result<Self, TranslateError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self { place: String::new(), fields }),
            Ok(_) => Err(TranslateError { message: "The body must be a JSON object.".into(), param: None }),
            Err(error) => Err(TranslateError { message: format!("The body is not JSON: {error}."), param: None }),
        }
    }

    /// The place of a field, as `messages[2].role`.
    pub(crate) fn place(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// The place of the object itself.
    pub(crate) fn own_place(&self) -> &str {
        &self.place
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| !value.is_null())
    }

    pub(crate) fn has_string(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(Value::is_string)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.shift_remove(name).filter(|value| !value.is_null())
    }

    /// Puts a field back.
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.to_owned(), value.into());
    }

    /// Fields that say nothing about what is wanted.
    pub(crate) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.fields.shift_remove(*name);
        }
    }

    /// A field that must be absent.
    pub(crate) fn refuse(&mut self, name: &str, why: &str) -> Result<(), TranslateError> {
        match self.take(name) {
            Some(_) => Err(self.error(name, why)),
            None => Ok(()),
        }
    }

    pub(crate) fn error(&self, name: &str, why: &str) -> TranslateError {
        let place = self.place(name);
        let message = format!("`{place}` {why}");
        TranslateError::invalid(place, message)
    }

    pub(crate) fn string(&mut self, name: &str) -> Result<Option<String>, TranslateError> {
        self.take(name).map(|value| into_string(value, || self.place(name))).transpose()
    }

    pub(crate) fn required_string(&mut self, name: &str) -> Result<String, TranslateError> {
        self.string(name)?.ok_or_else(|| self.error(name, "is required."))
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>, TranslateError> {
        self.read(name, "true or false", Value::as_bool)
    }

    pub(crate) fn unsigned(&mut self, name: &str) -> Result<Option<u64>, TranslateError> {
        self.read(name, "a whole number that is not negative", Value::as_u64)
    }

    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, TranslateError> {
        self.read(name, "a whole number", Value::as_i64)
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f64>, TranslateError> {
        self.read(name, "a number", Value::as_f64)
    }

    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, TranslateError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(must_be(&self.place(name), "a list")),
        }
    }

    /// The objects of a list.
    pub(crate) fn objects(&mut self, name: &str) -> Result<Vec<Fields>, TranslateError> {
        objects(self.list(name)?.unwrap_or_default(), &self.place(name))
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Fields>, TranslateError> {
        self.take(name).map(|value| Fields::new(value, self.place(name))).transpose()
    }

    pub(crate) fn required_object(&mut self, name: &str) -> Result<Fields, TranslateError> {
        self.object(name)?.ok_or_else(|| self.error(name, "is required."))
    }

    /// All that was not read.
    pub(crate) fn rest(mut self) -> Map<String, Value> {
        self.fields.retain(|_, value| !value.is_null());
        self.fields
    }

    fn read<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, TranslateError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| must_be(&self.place(name), what))
    }
}

/// The objects of a list that stands at `place`.
pub(crate) fn objects(list: Vec<Value>, place: &str) -> Result<Vec<Fields>, TranslateError> {
    list.into_iter().enumerate().map(|(index, value)| Fields::new(value, format!("{place}[{index}]"))).collect()
}

/// `place` is told only on error.
pub(crate) fn into_string(value: Value, place: impl Fn() -> String) -> Result<String, TranslateError> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(must_be(&place(), "a string")),
    }
}

pub(crate) fn must_be(place: &str, what: &str) -> TranslateError {
    TranslateError::invalid(place, format!("`{place}` must be {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields() -> Fields {
        Fields::new(json!({"a": "x", "b": null, "c": [{}, 1], "d": {"e": -1}, "z": 1, "f": 2}), "p").unwrap()
    }

    #[test]
    fn null_is_absent_and_the_rest_keeps_its_order() {
        let mut fields = fields();

        assert_eq!(fields.string("a").unwrap().as_deref(), Some("x"));
        assert_eq!(fields.string("b").unwrap(), None);
        assert_eq!(fields.string("q").unwrap(), None);
        fields.ignore(&["c", "d", "q"]);
        assert_eq!(Value::from(fields.rest()).to_string(), r#"{"z":1,"f":2}"#);
    }

    #[test]
    fn an_error_names_the_place() {
        let place = |error: TranslateError| error.param.unwrap();

        assert_eq!(place(fields().boolean("a").unwrap_err()), "p.a");
        assert_eq!(place(fields().objects("c").map(|_| ()).unwrap_err()), "p.c[1]");
        let mut inner = fields().object("d").unwrap().unwrap();
        assert_eq!(place(inner.unsigned("e").unwrap_err()), "p.d.e");
        assert_eq!(place(fields().required_string("b").unwrap_err()), "p.b");
        assert_eq!(Fields::of_body(b"[1]").map(|_| ()).unwrap_err().param, None);
        assert_eq!(Fields::of_body(b"{").map(|_| ()).unwrap_err().param, None);
    }
}
