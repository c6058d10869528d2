//! In which order the lines of a shard are asked, and which of them need no asking of their own. Pure.
//!
//! Lines with the same model and the same beginning of their prompt are asked next to each other, so that the engine finds the
//! prefix in its cache. Records keep the order of the input all the same: it is the numbers of the lines that count.

use bytes::Bytes;
use domain::Endpoint;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::collections::{HashMap, hash_map::Entry};
use wire::batch::InputLine;

/// A line to be asked, and the lines that are answered with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) line: usize,
    pub(super) twins: Vec<usize>,
}

/// Orders the `missing` lines among `texts`. `dedup` is the endpoint of a batch that wants identical lines asked once.
pub(super) fn order(texts: &[Bytes], missing: impl Iterator<Item = usize>, dedup: Option<Endpoint>) -> Vec<Ask> {
    let mut numbers: Vec<usize> = missing.collect();
    numbers.sort_by_cached_key(|number| (prompt(&texts[*number]), *number));
    let mut asks: Vec<Ask> = Vec::with_capacity(numbers.len());
    let mut asked: HashMap<Vec<u8>, usize> = HashMap::new();
    for line in numbers {
        match dedup.and_then(|endpoint| identity(&texts[line], endpoint)).map(|body| asked.entry(body)) {
            Some(Entry::Occupied(first)) => asks[*first.get()].twins.push(line),
            entry => {
                if let Some(Entry::Vacant(free)) = entry {
                    free.insert(asks.len());
                }
                asks.push(Ask { line, twins: Vec::new() });
            }
        }
    }
    asks
}

/// What an engine reads of a line, from its beginning: the model, then the prompt as it is written. A line that can't be read
/// stands by its own text.
fn prompt(text: &Bytes) -> (Bytes, Bytes) {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
        #[serde(borrow, alias = "messages", alias = "prompt")]
        input: &'a RawValue,
    }
    let line = serde_json::from_slice::<InputLine<'_>>(text).ok();
    let body = line.and_then(|line| serde_json::from_str::<Body<'_>>(line.body.get()).ok());
    match body {
        Some(body) => (text.slice_ref(body.model.get().as_bytes()), text.slice_ref(body.input.get().as_bytes())),
        None => (Bytes::new(), text.clone()),
    }
}

/// The body with its keys in order, if the same body gets the same answer: with temperature 0, a seed, or for embeddings.
fn identity(text: &Bytes, endpoint: Endpoint) -> Option<Vec<u8>> {
    let line: InputLine<'_> = serde_json::from_slice(text).ok()?;
    let mut body: Value = serde_json::from_str(line.body.get()).ok()?;
    let is_deterministic = endpoint == Endpoint::Embeddings
        || body["temperature"].as_f64() == Some(0.0)
        || body["seed"].is_i64()
        || body["seed"].is_u64();
    body.sort_all_objects();
    is_deterministic.then(|| serde_json::to_vec(&body).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(number: usize, body: &str) -> Bytes {
        format!(r#"{{"custom_id":"c{number}","method":"POST","url":"/v1/chat/completions","body":{body}}}"#).into()
    }

    fn chat(number: usize, model: &str, content: &str) -> Bytes {
        line(number, &json!({"model": model, "messages": [{"role": "user", "content": content}]}).to_string())
    }

    fn ordered(texts: &[Bytes], dedup: bool) -> Vec<(usize, Vec<usize>)> {
        let asks = order(texts, 0..texts.len(), dedup.then_some(Endpoint::ChatCompletions));
        asks.into_iter().map(|ask| (ask.line, ask.twins)).collect()
    }

    #[test]
    fn lines_with_a_common_beginning_are_asked_next_to_each_other() {
        let texts = [chat(0, "m", "Sum: 1"), chat(1, "m", "List: 1"), chat(2, "n", "Sum: 1"), chat(3, "m", "Sum: 2")];

        let lines: Vec<_> = ordered(&texts, false).into_iter().map(|(line, _)| line).collect();

        assert_eq!(lines, [1, 0, 3, 2]);
    }

    #[test]
    fn lines_that_say_the_same_keep_the_order_of_the_input() {
        let texts: Vec<_> = (0..50).map(|number| chat(number, "m", "same")).collect();

        let lines: Vec<_> = ordered(&texts, false).into_iter().map(|(line, _)| line).collect();

        assert_eq!(lines, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn only_missing_lines_are_asked_whether_they_can_be_read_or_not() {
        let texts = [chat(0, "m", "x"), Bytes::from_static(b"nonsense"), chat(2, "m", "x")];

        let asks = order(&texts, [1, 2].into_iter(), None);

        assert_eq!(asks.iter().map(|ask| ask.line).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn identical_deterministic_lines_are_asked_once() {
        let texts = [
            line(0, r#"{"model":"m","messages":[],"temperature":0}"#),
            line(1, r#"{"temperature": 0, "messages": [], "model": "m"}"#),
            line(2, r#"{"model":"m","messages":[],"temperature":1}"#),
            line(3, r#"{"model":"m","messages":[],"temperature":1}"#),
            line(4, r#"{"model":"m","messages":[],"seed":7}"#),
            line(5, r#"{"model":"m","messages":[],"seed":8}"#),
            line(6, r#"{"model":"m","messages":[],"seed":7}"#),
        ];

        let shared: Vec<_> = ordered(&texts, true).into_iter().filter(|(_, twins)| !twins.is_empty()).collect();

        assert_eq!(shared, [(0, vec![1]), (4, vec![6])]);
        assert!(ordered(&texts, false).iter().all(|(_, twins)| twins.is_empty()));
    }
}
