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

    pub(super) fn url(&mut self, key: &str) -> Url {
        let text = self.required_text(key);
        match Url::parse(text.trim_end_matches('/')) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return url,
            _ if text.is_empty() => {}
            _ => self.wrong(format!("`{key}` must be an http or https address like http://host:8000/v1, not {text}")),
        }
        Url::parse("http://invalid").expect("a constant that is a URL")
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
