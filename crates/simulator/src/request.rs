//! Reads and checks request bodies as vLLM does: unknown fields are ignored, nulls are absent, mistakes are 400.

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    refusal::Refusal,
    settings::SimulatorSettings,
    text::{Prompt, text_tokens},
};

/// Which of the generating endpoints was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Chat,
    Completions,
}

/// A checked request for text.
#[derive(Debug)]
pub(crate) struct TextRequest {
    pub(crate) dialect: Dialect,
    pub(crate) model: String,
    pub(crate) prompts: Vec<Prompt>,
    /// Choices for each prompt.
    pub(crate) n: usize,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) stops: Vec<String>,
    pub(crate) priority: i64,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) continuous_usage: bool,
}

/// vLLM's own limit on `n`.
const MAX_CHOICES: i64 = 16_384;

impl TextRequest {
    /// # Errors
    /// What vLLM would answer.
    pub(crate) fn parse(dialect: Dialect, body: &[u8], settings: &SimulatorSettings) -> Result<Self, Refusal> {
        let fields = Fields::parse(body)?;
        let salt = xxh3_64(fields.text("cache_salt").unwrap_or_default().as_bytes());
        let prompts = match dialect {
            Dialect::Chat => vec![Prompt::from_chat(&messages(&fields)?, salt)],
            Dialect::Completions => texts(&fields, "prompt")?.into_iter().map(|t| Prompt::from_text(t, salt)).collect(),
        };
        let model = fields.model(settings)?;
        check_sampling(&fields)?;
        check_lengths(&prompts, settings)?;
        let stream = fields.flag("stream")?;
        let options = fields.get("stream_options");
        if options.is_some() && !stream {
            let message = "Stream options can only be defined when `stream=True`. (parameter=stream_options)";
            return Err(Refusal::bad(Some("stream_options"), message));
        }
        let option = |name: &str| options.and_then(|options| options.get(name)).and_then(Value::as_bool) == Some(true);
        Ok(Self {
            dialect,
            model,
            n: choices(&fields)?,
            max_tokens: max_tokens(&fields, dialect, settings)?,
            stops: stops(&fields),
            priority: fields.integer("priority")?.unwrap_or(0),
            stream,
            include_usage: option("include_usage"),
            continuous_usage: option("continuous_usage_stats"),
            prompts,
        })
    }
}

/// The fields of a body that is a JSON object.
pub(crate) struct Fields(Value);

impl Fields {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Err(Refusal::schema("body", "missing", "Field required", "'None'"));
        }
        match serde_json::from_slice::<Value>(body) {
            Ok(value) if value.is_object() => Ok(Self(value)),
            Ok(_) => Err(Refusal::schema("body", "dict_type", "Input should be a valid dictionary", "'<value>'")),
            Err(error) => {
                let place = format!("body.{}", error.column().saturating_sub(1));
                Err(Refusal::schema(&place, "json_invalid", "JSON decode error", "'<dict of 0 items>'"))
            }
        }
    }

    /// The served model that is named, or the first one if none is.
    pub(crate) fn model(&self, settings: &SimulatorSettings) -> Result<String, Refusal> {
        match self.text("model") {
            None => Ok(settings.first_model().to_owned()),
            Some(name) if settings.models.iter().any(|served| served == name) => Ok(name.to_owned()),
            Some(name) => Err(Refusal::unknown_model(name, &settings.models)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_i64().or_else(|| value.as_f64().filter(|f| f.fract() == 0.0).map(|f| f as i64));
        number.map(Some).ok_or_else(|| mistyped(name, value, "int_parsing", "Input should be a valid integer"))
    }

    fn number(&self, name: &str) -> Result<Option<f64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let message = "Input should be a valid number, unable to parse string as a number";
        value.as_f64().map(Some).ok_or_else(|| mistyped(name, value, "float_parsing", message))
    }

    fn flag(&self, name: &str) -> Result<bool, Refusal> {
        let Some(value) = self.get(name) else { return Ok(false) };
        let message = "Input should be a valid boolean, unable to interpret input";
        value.as_bool().ok_or_else(|| mistyped(name, value, "bool_parsing", message))
    }

    pub(crate) fn missing(&self, name: &str) -> Refusal {
        let count = self.0.as_object().map_or(0, serde_json::Map::len);
        Refusal::schema(&format!("body.{name}"), "missing", "Field required", &format!("'<dict of {count} items>'"))
    }
}

/// The texts of a `prompt` or `input`: one, several, or token ids (which stand for themselves as words).
pub(crate) fn texts(fields: &Fields, name: &str) -> Result<Vec<String>, Refusal> {
    let value = fields.get(name).ok_or_else(|| fields.missing(name))?;
    let ids = |items: &[Value]| items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let refused = || mistyped(name, value, "string_type", "Input should be a valid string or a list of them");
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(items) if items.is_empty() => Err(Refusal::bad(Some(name), format!("{name} must not be empty"))),
        Value::Array(items) if items.iter().all(Value::is_u64) => Ok(vec![ids(items)]),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Ok(text.clone()),
                Value::Array(inner) if inner.iter().all(Value::is_u64) => Ok(ids(inner)),
                _ => Err(refused()),
            })
            .collect(),
        _ => Err(refused()),
    }
}

/// # Errors
/// A text is longer than the context.
pub(crate) fn check_lengths(prompts: &[Prompt], settings: &SimulatorSettings) -> Result<(), Refusal> {
    let limit = settings.context_tokens();
    // One token of room for an answer.
    if prompts.iter().any(|prompt| prompt.tokens >= limit) {
        return Err(Refusal::prompt_too_long(limit));
    }
    Ok(())
}

fn messages(fields: &Fields) -> Result<Vec<(String, String)>, Refusal> {
    let value = fields.get("messages").ok_or_else(|| fields.missing("messages"))?;
    let Value::Array(items) = value else {
        return Err(mistyped("messages", value, "list_type", "Input should be a valid list"));
    };
    if items.is_empty() {
        let message = "Cannot apply chat template to an empty conversation. Provide at least one message.";
        return Err(Refusal::bad(None, message));
    }
    items.iter().map(message).collect()
}

fn message(item: &Value) -> Result<(String, String), Refusal> {
    let Some(role) = item.get("role").and_then(Value::as_str) else {
        return Err(Refusal::schema("body.messages.0.role", "missing", "Field required", "'<message>'"));
    };
    let content = match item.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(part).collect::<Result<Vec<_>, _>>()?.join("\n"),
        _ => String::new(),
    };
    Ok((role.to_owned(), content))
}

fn part(item: &Value) -> Result<&str, Refusal> {
    match item.get("text").and_then(Value::as_str) {
        Some(text) => Ok(text),
        None => Err(Refusal::bad(None, "The model is not a multimodal model")),
    }
}

fn check_sampling(fields: &Fields) -> Result<(), Refusal> {
    if let Some(value) = fields.number("temperature")? {
        if value < 0.0 {
            let message = format!("temperature must be non-negative, got {value:?}.");
            return Err(Refusal::bad_value("temperature", format!("{value:?}"), message));
        }
        if value > 2.0 {
            let message = format!("temperature must be in [0, 2], got {value:?}.");
            return Err(Refusal::bad_value("temperature", format!("{value:?}"), message));
        }
    }
    match fields.number("top_p")? {
        Some(value) if value <= 0.0 || value > 1.0 => {
            let message = format!("top_p must be in (0, 1], got {value:?}.");
            Err(Refusal::bad_value("top_p", format!("{value:?}"), message))
        }
        _ => Ok(()),
    }
}

fn max_tokens(fields: &Fields, dialect: Dialect, settings: &SimulatorSettings) -> Result<Option<usize>, Refusal> {
    let newer = if dialect == Dialect::Chat { fields.integer("max_completion_tokens")? } else { None };
    let Some(asked) = newer.or(fields.integer("max_tokens")?) else { return Ok(None) };
    let limit = settings.max_model_len;
    match usize::try_from(asked) {
        Ok(tokens) if (1..=limit).contains(&tokens) => Ok(Some(tokens)),
        Ok(tokens) if tokens > limit => Err(Refusal::bad_value(
            "max_tokens",
            tokens,
            format!(
                "max_tokens={tokens} cannot be greater than max_model_len={limit}. Please request fewer output tokens."
            ),
        )),
        _ => Err(Refusal::bad_value("max_tokens", asked, format!("max_tokens must be at least 1, got {asked}."))),
    }
}

fn choices(fields: &Fields) -> Result<usize, Refusal> {
    match fields.integer("n")?.unwrap_or(1) {
        n @ 1..=MAX_CHOICES => Ok(n as usize),
        n if n < 1 => Err(Refusal::bad(None, format!("n must be at least 1, got {n}."))),
        n => Err(Refusal::bad(None, format!("n must be at most {MAX_CHOICES}, got {n}."))),
    }
}

fn stops(fields: &Fields) -> Vec<String> {
    let stops = match fields.get("stop") {
        Some(Value::String(stop)) => vec![stop.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    stops.into_iter().filter(|stop| !stop.is_empty()).collect()
}

fn mistyped(name: &str, value: &Value, reason: &str, message: &str) -> Refusal {
    let input = match value {
        Value::String(text) => format!("'{text}'"),
        other => format!("'<value of {} tokens>'", text_tokens(&other.to_string())),
    };
    Refusal::schema(&format!("body.{name}"), reason, message, &input)
}
