//! What is wrong with the settings, in words that name the key, the value, where it came from and what is allowed.

use super::secret::{HIDDEN, MARK};
use serde_json::Value;
use std::{error::Error as StdError, fmt, path::PathBuf};

/// Everything that is wrong with the settings.
#[derive(Debug)]
pub struct SettingsError {
    problems: Vec<Problem>,
}

impl SettingsError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// One entry a mistake.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => f.write_str("1 mistake in the settings:")?,
            count => write!(f, "{count} mistakes in the settings:")?,
        }
        self.problems.iter().try_for_each(|problem| write!(f, "\n- {problem}"))
    }
}

impl StdError for SettingsError {}

/// One mistake, as a sentence without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a value came from.
pub(super) enum Source {
    Environment(Vec<String>),
    File(PathBuf),
    Defaults,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(names) => write!(f, "environment, {}", names.join(", ")),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Defaults => f.write_str("given nowhere"),
        }
    }
}

impl Problem {
    pub(super) fn general(text: String) -> Self {
        Self(text)
    }

    /// The value of a key that does not exist is not shown: it may be a secret behind a misspelt name.
    pub(super) fn unknown_key(key: String, source: Source, known: &[String], message: &str) -> Self {
        let listed: Vec<String> = match message.split_once("expected ") {
            // Between backticks stand the names, so every second piece, from the second on.
            Some((_, list)) => list.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
            None => known.to_vec(),
        };
        let name = key.rsplit('.').next().unwrap_or_default();
        let meant = listed.iter().map(|known| (distance(name, known), known)).min();
        let meant = meant.filter(|(distance, _)| *distance <= 2).map(|(_, known)| format!("; did you mean `{known}`?"));
        let allowed = match listed.is_empty() {
            true => "; no keys are known here".to_owned(),
            false => format!("; known here: {}", listed.join(", ")),
        };
        Self(format!("{key} ({source}): there is no such key{}{allowed}", meant.unwrap_or_default()))
    }

    pub(super) fn bad_value(
        key: String,
        source: Source,
        value: Option<Value>,
        default: Option<&Value>,
        message: &str,
    ) -> Self {
        if key.is_empty() {
            return Self(message.to_owned());
        }
        let about_secret = message.strip_prefix(MARK);
        let hidden_default = default.and_then(Value::as_str) == Some(HIDDEN);
        let hide = about_secret.is_some() || hidden_default || is_secret_name(&key);
        let shown = value.map(|value| if hide { HIDDEN.to_owned() } else { show(&value) });
        let shown = shown.map(|shown| format!(" = {shown}")).unwrap_or_default();
        let expected = match about_secret {
            Some(text) => text.to_owned(),
            None => expectation(message, hide),
        };
        let default = default.filter(|default| !hide && is_plain(default));
        let default = default.map(|default| format!("; the default is {default}")).unwrap_or_default();
        Self(format!("{key}{shown} ({source}): {expected}{default}"))
    }
}

/// What serde expected, without its quotation of the value where that must not be shown.
fn expectation(message: &str, hide: bool) -> String {
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {}", in_words(expected)),
        None if hide => "this value can't be used".to_owned(),
        None => message.to_owned(),
    }
}

fn in_words(expected: &str) -> String {
    let max = match expected {
        "u8" => u64::from(u8::MAX),
        "u16" => u64::from(u16::MAX),
        "u32" => u64::from(u32::MAX),
        "u64" | "usize" => return "a whole number, 0 or more".to_owned(),
        "i32" | "i64" | "isize" => return "a whole number".to_owned(),
        "f32" | "f64" => return "a number".to_owned(),
        "a boolean" => return "true or false".to_owned(),
        "a string" => return "text".to_owned(),
        "a sequence" => return "a list".to_owned(),
        other if other.starts_with("struct ") => return "a section with keys".to_owned(),
        other => return other.to_owned(),
    };
    format!("a whole number from 0 to {max}")
}

fn is_secret_name(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or_default();
    ["secret", "password", "token", "credential", "api_key", "private_key"].iter().any(|word| name.contains(word))
}

fn is_plain(value: &Value) -> bool {
    !(value.is_null() || value.is_object() || value.is_array() || value.as_str() == Some(""))
}

fn show(value: &Value) -> String {
    match value {
        Value::Object(_) => "{…}".to_owned(),
        Value::Array(_) => "[…]".to_owned(),
        Value::String(text) if text.contains("://") && text.contains('@') => format!("\"{HIDDEN}\""),
        Value::String(text) if text.chars().count() > 80 => {
            format!("{:?}", text.chars().take(80).chain(['…']).collect::<String>())
        }
        other => other.to_string(),
    }
}

/// How many letters have to change to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.chars().enumerate() {
            let changed = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
