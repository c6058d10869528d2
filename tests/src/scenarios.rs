//! Stories that need the API and nothing else: the same in each topology that can carry them.

use crate::{Api, chat_lines, eventually};
use serde_json::{Value, json};
use std::time::Duration;

/// Only ends a hung test.
const LIMIT: Duration = Duration::from_secs(300);
const ENDS: [&str; 4] = ["completed", "failed", "expired", "cancelled"];

/// A question that `max_tokens` tokens answer.
#[must_use]
pub fn question(max_tokens: u32, stream: bool) -> Value {
    let messages = json!([{"role": "user", "content": "Hello"}]);
    json!({"model": "tandem-sim", "max_tokens": max_tokens, "stream": stream, "messages": messages})
}

/// What everybody does first.
pub async fn first_steps(api: &Api) {
    a_chat_is_answered(api).await;
    a_chat_is_streamed(api).await;
    a_batch_completes(api, 100).await;
}

/// A whole answer, with what it cost.
pub async fn a_chat_is_answered(api: &Api) {
    let (status, answer) = api.ask("/v1/chat/completions", &question(8, false)).await;

    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["usage"]["completion_tokens"], 8, "{answer}");
    assert!(answer["choices"][0]["message"]["content"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
}

/// A stream with its end marker, and who answered.
pub async fn a_chat_is_streamed(api: &Api) {
    let (status, stream) = api.ask("/v1/chat/completions", &question(8, true)).await;

    assert_eq!(status, 200, "{stream}");
    assert_ended(&stream);
}

/// The stream says that it has ended, and last who answered.
pub fn assert_ended(stream: &str) {
    let (events, comment) = stream.trim_end().rsplit_once("\n\n").expect("events");
    assert!(events.ends_with("data: [DONE]"), "{stream}");
    assert!(comment.starts_with(": tandem model=tandem-sim deployment="), "{comment}");
    assert!(comment.contains(" attempts=1"), "{comment}");
}

/// A batch of `lines` lines, each of which is answered once, in order.
pub async fn a_batch_completes(api: &Api, lines: usize) {
    let batch = api.submit(chat_lines(lines, 4)).await;
    completed(api, &batch, lines).await;
}

/// Waits until the batch has completed, and audits its files.
pub async fn completed(api: &Api, batch: &str, lines: usize) -> Value {
    let batch = ended(api, batch).await;
    assert_eq!(batch["status"], "completed", "{batch}");
    assert_eq!(batch["request_counts"]["completed"], lines, "{batch}");
    audit(api, &batch, lines).await.expect("every line has its record");
    batch
}

/// Waits for the end of the batch, whichever it is.
pub async fn ended(api: &Api, batch: &str) -> Value {
    let path = format!("/v1/batches/{batch}");
    let mut last = Value::Null;
    let is_over = async || {
        last = api.try_get(&path).await.unwrap_or_default();
        ENDS.iter().any(|end| last["status"] == *end)
    };
    assert!(eventually(LIMIT, is_over).await, "{last}");
    last
}

/// Every line has exactly one record in exactly one file, in input order; the counts agree; one end has a time. Else what is wrong.
pub async fn audit(api: &Api, batch: &Value, lines: usize) -> Result<(), String> {
    let mut seen = vec![false; lines];
    for file in ["output_file_id", "error_file_id"] {
        let Some(id) = batch[file].as_str() else { continue };
        let content = api.content(id).await;
        let numbers: Vec<usize> = content.lines().map(number).collect();
        ensure(numbers.is_sorted_by(|one, next| one < next), || format!("{file} has doubles or another order"))?;
        for number in numbers {
            ensure(!std::mem::replace(&mut seen[number], true), || format!("line {number} is in both files"))?;
        }
    }
    if batch["in_progress_at"].is_null() {
        return Ok(());
    }
    let lost: Vec<_> = (0..lines).filter(|number| !seen[*number]).collect();
    ensure(lost.is_empty(), || format!("lines {lost:?} have no record"))?;
    let counts = &batch["request_counts"];
    let counted: u64 = ENDS.iter().filter_map(|name| counts[name].as_u64()).sum();
    ensure(counted == lines as u64, || format!("the counts are wrong: {batch}"))?;
    let ends = ENDS.iter().filter(|end| !batch[format!("{end}_at")].is_null()).count();
    ensure(ends == 1, || format!("{ends} ends have a time: {batch}"))
}

fn ensure(is_so: bool, else_what: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(else_what()) }
}

fn number(record: &str) -> usize {
    let record: Value = serde_json::from_str(record).expect("JSON");
    let id = record["custom_id"].as_str().expect("a custom id");
    id.trim_start_matches("line-").parse().expect("a number")
}
