//! Takes the keys of a TOML table one by one and notes every mistake instead of stopping at the first.

use domain::Money;
use secrecy::SecretString;
use std::time::Duration;
use toml::{Table, Value};
use url::Url;

pub(super) struct Fields<'a> {
    at: String,
    table: Table,
    mistakes: &'a mut Vec<String>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(at: &str, table: Table, mistakes: &'a mut Vec<String>) -> Self {
        Self { at: at.to_owned(), table, mistakes }
    }

    pub(super) fn wrong(&mut self, what: impl AsRef<str>) {
        self.mistakes.push(format!("{}: {}", self.at, what.as_ref()));
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.table.remove(key)? {
            Value::String(text) if !text.is_empty() => Some(text),
            other => {
                self.wrong(format!("`{key}` must be a text that is not empty, not {other}"));
                None
            }
        }
    }

    pub(super) fn required_text(&mut self, key: &str) -> String {
        if !self.table.contains_key(key) {
            self.wrong(format!("`{key}` is missing"));
        }
        self.text(key).unwrap_or_default()
    }

    pub(super) fn number(&mut self, key: &str) -> Option<i64> {
        match self.table.remove(key)? {
            Value::Integer(number) => Some(number),
            other => {
                self.wrong(format!("`{key}` must be a whole number, not {other}"));
                None
            }
        }
    }

    pub(super) fn millis(&mut self, key: &str) -> Option<Duration> {
        let number = self.number(key)?;
        if number < 1 {
            self.wrong(format!("`{key}` must be at least 1 (milliseconds), not {number}"));
        }
        u64::try_from(number).ok().map(Duration::from_millis)
    }

    pub(super) fn price(&mut self, key: &str) -> Option<Money> {
        let dollars = match self.table.remove(key)? {
            Value::Integer(number) => number as f64,
            Value::Float(number) => number,
            other => {
                self.wrong(format!("`{key}` must be a number, not {other}"));
                return None;
            }
        };
        if !(0.0..=1_000_000.0).contains(&dollars) {
            self.wrong(format!("`{key}` must be from 0 to 1000000, not {dollars}"));
            return None;
        }
        Some(Money::from_nanos((dollars * 1e9).round() as i64))
    }

    /// `url` or `urls`, or the default.
    pub(super) fn urls(&mut self, default: Option<&str>) -> Vec<Url> {
        let mut texts = self.texts("urls");
        match self.text("url") {
            Some(_) if !texts.is_empty() => self.wrong("has both `url` and `urls`"),
            Some(url) => texts.push(url),
            None => {}
        }
        if texts.is_empty() {
            match default {
                Some(default) => texts.push(default.to_owned()),
                None => self.wrong("`url` (or `urls`) is missing"),
            }
        }
        texts.iter().filter_map(|text| self.url(text)).collect()
    }

    fn url(&mut self, text: &str) -> Option<Url> {
        match Url::parse(text.trim_end_matches('/')) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
            _ => {
                self.wrong(format!("`url` must be an http or https address like http://host:8000/v1, not {text}"));
                None
            }
        }
    }

    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        match self.table.remove(key) {
            None => Vec::new(),
            Some(Value::Array(items))
                if items.iter().all(|item| item.as_str().is_some_and(|text| !text.is_empty())) =>
            {
                items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
            }
            Some(other) => {
                self.wrong(format!("`{key}` must be a list of texts, not {other}"));
                Vec::new()
            }
        }
    }

    /// A whole number of at least 1.
    pub(super) fn count(&mut self, key: &str) -> Option<u64> {
        let number = self.number(key)?;
        if number < 1 {
            self.wrong(format!("`{key}` must be at least 1, not {number}"));
        }
        u64::try_from(number).ok()
    }

    /// A whole number of at least 0.
    pub(super) fn count_or_none(&mut self, key: &str) -> Option<usize> {
        let number = self.number(key)?;
        if number < 0 {
            self.wrong(format!("`{key}` must be at least 0, not {number}"));
        }
        usize::try_from(number).ok()
    }

    pub(super) fn percent(&mut self, key: &str) -> Option<f64> {
        let percent = match self.table.remove(key)? {
            Value::Integer(number) => number as f64,
            Value::Float(number) => number,
            other => {
                self.wrong(format!("`{key}` must be a number, not {other}"));
                return None;
            }
        };
        if !(0.0..=100.0).contains(&percent) {
            self.wrong(format!("`{key}` must be from 0 to 100 (percent), not {percent}"));
        }
        Some(percent)
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        match self.table.remove(key)? {
            Value::Boolean(flag) => Some(flag),
            other => {
                self.wrong(format!("`{key}` must be true or false, not {other}"));
                None
            }
        }
    }

    /// One of `allowed`, by name.
    pub(super) fn choice<T: Clone>(&mut self, key: &str, allowed: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = named(&text, allowed);
        if found.is_none() {
            self.wrong(format!("`{key}` must be one of {}, not `{text}`", names(allowed)));
        }
        found
    }

    /// Some of `allowed`, by name.
    pub(super) fn choices<T: Clone>(&mut self, key: &str, allowed: &[(&str, T)]) -> Option<Vec<T>> {
        if !self.table.contains_key(key) {
            return None;
        }
        let texts = self.texts(key);
        let found: Option<Vec<_>> = texts.iter().map(|text| named(text, allowed)).collect();
        if found.is_none() {
            self.wrong(format!("`{key}` must be a list of {}", names(allowed)));
        }
        found
    }

    /// A table, as the JSON it stands for.
    pub(super) fn json_object(&mut self, key: &str) -> serde_json::Map<String, serde_json::Value> {
        match self.table.remove(key) {
            None => serde_json::Map::new(),
            Some(Value::Table(table)) => match serde_json::to_value(table) {
                Ok(serde_json::Value::Object(object)) => object,
                _ => {
                    self.wrong(format!("`{key}` has values that JSON does not have"));
                    serde_json::Map::new()
                }
            },
            Some(other) => {
                self.wrong(format!("`{key}` must be a table, not {other}"));
                serde_json::Map::new()
            }
        }
    }

    /// The key named by `api_key_env` or `api_key_file`.
    pub(super) fn api_key(&mut self) -> Option<SecretString> {
        match (self.text("api_key_env"), self.text("api_key_file")) {
            (Some(_), Some(_)) => {
                self.wrong("has both `api_key_env` and `api_key_file`");
                None
            }
            (Some(name), None) => {
                #[expect(clippy::disallowed_methods, reason = "the name of the variable is itself a setting")]
                let value = std::env::var(&name);
                self.key_from(
                    &format!("the variable {name} of `api_key_env`"),
                    value.map_err(|error| error.to_string()),
                )
            }
            (None, Some(path)) => {
                let value = std::fs::read_to_string(&path).map_err(|error| error.to_string());
                self.key_from(&format!("the file {path} of `api_key_file`"), value)
            }
            (None, None) => None,
        }
    }

    fn key_from(&mut self, source: &str, value: Result<String, String>) -> Option<SecretString> {
        match value {
            Ok(key) if !key.trim().is_empty() => return Some(SecretString::from(key.trim())),
            Ok(_) => self.wrong(format!("{source} is empty")),
            Err(error) => self.wrong(format!("{source} cannot be read: {error}")),
        }
        None
    }

    /// The tables of a list of tables, each with its place in the file.
    pub(super) fn tables(&mut self, key: &str) -> Vec<(String, Table)> {
        match self.table.remove(key) {
            None => Vec::new(),
            Some(Value::Array(items)) if items.iter().all(Value::is_table) => {
                let tables = items
                    .into_iter()
                    .filter_map(|item| if let Value::Table(table) = item { Some(table) } else { None });
                tables.enumerate().map(|(index, table)| (self.place(key, index, &table), table)).collect()
            }
            Some(_) => {
                self.wrong(format!("`{key}` must be a list of tables, written [[{key}]]"));
                Vec::new()
            }
        }
    }

    fn place(&self, key: &str, index: usize, table: &Table) -> String {
        let own = match table.get("name") {
            Some(Value::String(name)) => format!("{key} `{name}`"),
            _ => format!("{key} number {}", index + 1),
        };
        if self.at.starts_with("the ") { own } else { format!("{}, {own}", self.at) }
    }

    /// Notes the keys that nobody took.
    pub(super) fn finish(mut self) {
        for key in std::mem::take(&mut self.table).keys() {
            self.wrong(format!("the key `{key}` is unknown"));
        }
    }
}

fn named<T: Clone>(text: &str, allowed: &[(&str, T)]) -> Option<T> {
    allowed.iter().find(|(name, _)| *name == text).map(|(_, value)| value.clone())
}

fn names<T>(allowed: &[(&str, T)]) -> String {
    allowed.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
