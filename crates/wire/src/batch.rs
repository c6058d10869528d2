//! Batches and their lines as OpenAI's API shows them. Absent values are null, never missing.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};
use utoipa::ToSchema;

/// One line of an input file. The body is kept as it was written.
#[derive(Debug, Clone, Deserialize)]
pub struct InputLine<'a> {
    /// The caller's name for the line, unique within the file.
    #[serde(borrow)]
    pub custom_id: Cow<'a, str>,
    /// Always `POST`.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// The path, as `/v1/chat/completions`.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// The request body.
    #[serde(borrow)]
    pub body: &'a RawValue,
}

/// One line of an output or error file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutputLine {
    /// `batch_req_…`
    pub id: String,
    /// The input line's name.
    pub custom_id: String,
    /// The answer, if the line was executed.
    pub response: Option<LineResponse>,
    /// Why it was not executed.
    pub error: Option<LineError>,
}

/// What the model API answered to a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LineResponse {
    /// The HTTP status.
    pub status_code: u16,
    /// The request's name in our logs.
    pub request_id: String,
    /// The body, as it came.
    pub body: Box<RawValue>,
}

/// Why a line was not executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineError {
    /// For programs, as `batch_expired`.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A batch object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Batch {
    /// `batch_…`
    pub id: String,
    /// Always `batch`.
    pub object: String,
    /// The path every line calls.
    pub endpoint: String,
    /// The model of all lines, if they have one in common.
    pub model: Option<String>,
    /// Why the input was refused.
    pub errors: Option<BatchErrors>,
    /// The file with the requests.
    pub input_file_id: String,
    /// As asked, like `24h`.
    pub completion_window: String,
    /// Where it is in its life.
    pub status: String,
    /// The file with the answers.
    pub output_file_id: Option<String>,
    /// The file with the lines that failed.
    pub error_file_id: Option<String>,
    /// Unix seconds, as all the following times.
    pub created_at: i64,
    /// When its lines began to run.
    pub in_progress_at: Option<i64>,
    /// When its window closes.
    pub expires_at: Option<i64>,
    /// When its files began to be assembled.
    pub finalizing_at: Option<i64>,
    /// When it completed.
    pub completed_at: Option<i64>,
    /// When its input was refused.
    pub failed_at: Option<i64>,
    /// When its window closed too early.
    pub expired_at: Option<i64>,
    /// When a cancel was asked for.
    pub cancelling_at: Option<i64>,
    /// When it was cancelled.
    pub cancelled_at: Option<i64>,
    /// How many lines are where.
    pub request_counts: RequestCounts,
    /// Tokens used by all lines so far.
    pub usage: Option<BatchUsage>,
    /// `urgent`, `standard` or `idle`; an addition of ours, as all the following but the metadata.
    #[serde(default)]
    pub priority: String,
    /// No line begins before this time.
    #[serde(default)]
    pub not_before: Option<i64>,
    /// Lines begin only within this part of the day.
    #[serde(default)]
    pub run_between: Option<RunBetween>,
    /// Lines in flight at once.
    #[serde(default)]
    pub max_concurrency: Option<i64>,
    /// Since when no line begins.
    #[serde(default)]
    pub paused_at: Option<i64>,
    /// The caller's own keys and values.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Whether identical deterministic lines are asked once; an addition of ours, as the next.
    #[serde(default)]
    pub dedup: bool,
    /// The batch whose lines this one asks again.
    #[serde(default)]
    pub redrive_of: Option<String>,
}

/// A part of every day of UTC; it may reach over midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunBetween {
    /// `HH:MM`
    pub start: String,
    /// `HH:MM`
    pub end: String,
}

/// The list inside `errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchErrors {
    /// Always `list`.
    pub object: String,
    /// The errors, in the order of their lines.
    pub data: Vec<BatchError>,
}

impl BatchErrors {
    /// A list of `data`.
    #[must_use]
    pub fn new(data: Vec<BatchError>) -> Self {
        Self { object: "list".into(), data }
    }
}

/// One reason to refuse an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchError {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// The parameter that is wrong, if one is.
    pub param: Option<String>,
    /// The line that is wrong, if one is.
    pub line: Option<u64>,
}

/// How many lines are where. OpenAI has the first three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestCounts {
    /// All lines.
    pub total: i64,
    /// Answered with a 2xx.
    pub completed: i64,
    /// Executed and answered with anything else.
    pub failed: i64,
    /// Not executed because of a cancel.
    #[serde(default)]
    pub cancelled: i64,
    /// Not executed before the window closed.
    #[serde(default)]
    pub expired: i64,
}

/// Tokens of a batch, named as in OpenAI's batch object. What follows `total_tokens` are additions of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchUsage {
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Of these, from a cache.
    pub input_tokens_details: CachedTokens,
    /// Generated tokens.
    pub output_tokens: u64,
    /// Of these, reasoning.
    pub output_tokens_details: ReasoningTokens,
    /// Both together.
    pub total_tokens: u64,
    /// Model calls made again because their worker ended before their records were kept. Misses at most those of its last half second.
    #[serde(default)]
    pub redone_requests: i64,
    /// Lines that were answered with the answer to an identical line; they used no tokens.
    #[serde(default)]
    pub deduplicated_requests: i64,
    /// What it all cost so far, in US dollars with nine decimals; null when the price of a line is not known.
    #[serde(default)]
    pub cost_usd: Option<String>,
    /// Why the cost is not known.
    #[serde(default)]
    pub cost_unknown: Option<String>,
    /// The same by the model that answered.
    #[serde(default)]
    pub models: Vec<ModelUsage>,
}

/// What one model did for a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelUsage {
    /// Its name.
    pub model: String,
    /// Lines that were called.
    pub requests: i64,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Of these, from a cache.
    pub cached_tokens: u64,
    /// Generated tokens.
    pub output_tokens: u64,
    /// Of these, reasoning.
    pub reasoning_tokens: u64,
    /// What they cost, in US dollars with nine decimals; null when the price of a line is not known.
    pub cost_usd: Option<String>,
    /// Lines whose price is not known.
    pub unpriced_requests: i64,
}

/// `{"cached_tokens": …}`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CachedTokens {
    /// Prompt tokens from a cache.
    pub cached_tokens: u64,
}

/// `{"reasoning_tokens": …}`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasoningTokens {
    /// Generated tokens spent on reasoning.
    pub reasoning_tokens: u64,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// Always `list`.
    pub object: String,
    /// The page.
    pub data: Vec<T>,
    /// The id of the first item.
    pub first_id: Option<String>,
    /// The id of the last item, to continue after.
    pub last_id: Option<String>,
    /// Whether there are more after it.
    pub has_more: bool,
}

impl<T> List<T> {
    /// A page of `data`, whose items are named by `id`.
    pub fn new(data: Vec<T>, has_more: bool, id: impl Fn(&T) -> &str) -> Self {
        Self {
            object: "list".into(),
            first_id: data.first().map(|item| id(item).to_owned()),
            last_id: data.last().map(|item| id(item).to_owned()),
            data,
            has_more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_line_keeps_its_body_as_written() {
        let text = r#"{"custom_id":"a\n1","method":"POST","url":"/v1/embeddings","body":{ "model" : "m" },"extra":1}"#;

        let line: InputLine<'_> = serde_json::from_str(text).unwrap();

        assert_eq!((&*line.custom_id, line.body.get()), ("a\n1", r#"{ "model" : "m" }"#));
    }

    #[test]
    fn an_output_line_has_every_key() {
        let error = LineError { code: "batch_expired".into(), message: "m".into() };
        let line = OutputLine { id: "i".into(), custom_id: "c".into(), response: None, error: Some(error) };

        let json = serde_json::to_string(&line).unwrap();

        assert_eq!(
            json,
            r#"{"id":"i","custom_id":"c","response":null,"error":{"code":"batch_expired","message":"m"}}"#
        );
    }

    #[test]
    fn a_page_names_its_ends() {
        let list = List::new(vec!["a".to_owned(), "b".to_owned()], true, |item| item);

        assert_eq!((list.first_id.as_deref(), list.last_id.as_deref()), (Some("a"), Some("b")));
    }
}
