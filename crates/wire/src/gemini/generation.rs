//! `generationConfig`: how to sample, when to stop, what the answer must look like.

use super::{PROVIDER, thinking, tools};
use crate::pivot::{Format, Request, TranslateError};
use serde_json::{Map, Value};

/// Writes `generationConfig`, maybe empty.
pub(super) fn write(request: &Request) -> Result<Map<String, Value>, TranslateError> {
    let mut config = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(name.into(), value);
        }
    };
    let sampling = &request.sampling;
    put("temperature", sampling.temperature.map(Value::from));
    put("topP", sampling.top_p.map(Value::from));
    put("topK", sampling.top_k.map(Value::from));
    put("maxOutputTokens", request.max_tokens.map(Value::from));
    put("stopSequences", (!request.stop.is_empty()).then(|| request.stop.clone().into()));
    // One is what there is anyway, and some models know no count.
    put("candidateCount", request.n.filter(|n| *n != 1).map(Value::from));
    put("seed", sampling.seed.map(short_seed).map(Value::from));
    put("presencePenalty", sampling.presence_penalty.map(Value::from));
    put("frequencyPenalty", sampling.frequency_penalty.map(Value::from));
    if let Some(logprobs) = request.logprobs {
        put("responseLogprobs", Some(true.into()));
        put("logprobs", logprobs.top.filter(|top| *top > 0).map(Value::from));
    }
    if let Some(reasoning) = &request.reasoning {
        put("thinkingConfig", Some(thinking::write(&request.model, reasoning)?));
    }
    match &request.format {
        None | Some(Format::Text) => {}
        Some(Format::JsonObject) => put("responseMimeType", Some("application/json".into())),
        // The name, the description and `strict` have no words here: Gemini always keeps to the schema.
        Some(Format::JsonSchema { schema, .. }) => {
            put("responseMimeType", Some("application/json".into()));
            put("responseJsonSchema", Some(tools::write_schema(schema)));
        }
        Some(Format::Other(_)) => return Err(TranslateError::unsupported("response_format", PROVIDER)),
    }
    Ok(config)
}

/// Google's seeds have 32 bits. A longer one is folded, which is the same every time.
fn short_seed(seed: i64) -> i32 {
    i32::try_from(seed).or_else(|_| i32::try_from(seed.rem_euclid(i64::from(i32::MAX)))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pivot::{Logprobs, Sampling};
    use serde_json::json;

    #[test]
    fn what_is_not_asked_for_is_not_said() {
        let request = Request { n: Some(1), format: Some(Format::Text), ..Request::default() };

        assert_eq!(write(&request).unwrap(), Map::new());
    }

    #[test]
    fn a_long_seed_is_folded() {
        for (seed, expected) in [(7, 7), (-1, -1), (i64::from(i32::MAX) + 5, 5), (i64::MIN, 2_147_483_645)] {
            let sampling = Sampling { seed: Some(seed), ..Sampling::default() };
            let request = Request { sampling, ..Request::default() };

            assert_eq!(write(&request).unwrap()["seed"], expected, "{seed}");
        }
    }

    #[test]
    fn logprobs_without_alternatives_have_no_count() {
        for (top, expected) in [
            (None, json!({"responseLogprobs": true})),
            (Some(0), json!({"responseLogprobs": true})),
            (Some(5), json!({"responseLogprobs": true, "logprobs": 5})),
        ] {
            let request = Request { logprobs: Some(Logprobs { top }), ..Request::default() };

            assert_eq!(Value::from(write(&request).unwrap()), expected);
        }
    }
}
