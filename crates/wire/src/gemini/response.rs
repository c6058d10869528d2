//! The shape of an answer and of each chunk of a stream, which is the same, and the words that both share.

use crate::pivot::{Finish, TranslateError, Usage};
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};
use xxhash_rust::xxh3::xxh3_128;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    candidates: Option<Vec<Candidate>>,
    pub(super) usage_metadata: Option<UsageMetadata>,
    pub(super) response_id: Option<String>,
    pub(super) model_version: Option<String>,
    pub(super) create_time: Option<String>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    // Zero is left out.
    index: Option<u64>,
    content: Option<CandidateContent>,
    pub(super) finish_reason: Option<String>,
    pub(super) logprobs_result: Option<LogprobsResult>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct CandidateContent {
    parts: Option<Vec<ResponsePart>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponsePart {
    pub(super) text: Option<String>,
    pub(super) thought: Option<bool>,
    pub(super) thought_signature: Option<String>,
    pub(super) function_call: Option<FunctionCall>,
    pub(super) inline_data: Option<InlineData>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionCall {
    id: Option<String>,
    pub(super) name: String,
    args: Option<Map<String, Value>>,
    partial_args: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InlineData {
    pub(super) mime_type: Option<String>,
    pub(super) data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageMetadata {
    prompt_token_count: Option<Number>,
    tool_use_prompt_token_count: Option<Number>,
    candidates_token_count: Option<Number>,
    thoughts_token_count: Option<Number>,
    cached_content_token_count: Option<Number>,
    total_token_count: Option<Number>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogprobsResult {
    chosen_candidates: Option<Vec<LogprobsCandidate>>,
    top_candidates: Option<Vec<TopCandidates>>,
}

#[derive(Deserialize)]
struct TopCandidates {
    candidates: Option<Vec<LogprobsCandidate>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogprobsCandidate {
    token: Option<String>,
    log_probability: Option<f64>,
}

impl Response {
    pub(super) fn read(json: &[u8]) -> Result<Self, TranslateError> {
        serde_json::from_slice(json).map_err(|error| unreadable(&error.to_string()))
    }

    pub(super) fn take_candidates(&mut self) -> Vec<Candidate> {
        self.candidates.take().unwrap_or_default()
    }

    /// Whether the prompt itself was refused; there are no candidates then.
    pub(super) fn is_blocked(&self) -> bool {
        let reason = self.rest.get("promptFeedback").and_then(|feedback| feedback.get("blockReason"));
        reason.and_then(Value::as_str).is_some_and(|reason| reason != "BLOCKED_REASON_UNSPECIFIED")
    }

    pub(super) fn created(&self) -> Option<i64> {
        self.create_time.as_deref().and_then(unix_seconds)
    }
}

/// An answer that is not what the dialect says it must be.
pub(super) fn unreadable(why: &str) -> TranslateError {
    TranslateError { message: format!("The answer of {} can't be read: {why}.", super::PROVIDER), param: None }
}

impl Candidate {
    pub(super) fn index(&self) -> u64 {
        self.index.unwrap_or(0)
    }

    pub(super) fn take_parts(&mut self) -> Vec<ResponsePart> {
        self.content.take().and_then(|content| content.parts).unwrap_or_default()
    }
}

impl FunctionCall {
    /// The id Gemini gave, or one that follows from where the call stands: the same call always has the same id, and
    /// calls of different answers have different ones.
    pub(super) fn id(&self, response_id: &str, choice: u64, number: u64) -> String {
        match &self.id {
            Some(id) if !id.is_empty() => id.clone(),
            _ => {
                let place = format!("{response_id}\n{choice}\n{number}\n{}", self.name);
                format!("call_{:032x}", xxh3_128(place.as_bytes()))
            }
        }
    }

    /// The arguments as JSON text.
    pub(super) fn arguments(&mut self) -> Result<String, TranslateError> {
        // They come in pieces only if the caller set a field of Google's own for it.
        if self.partial_args.is_some() {
            return Err(unreadable("arguments of a function call come in pieces"));
        }
        Ok(Value::from(self.args.take().unwrap_or_default()).to_string())
    }
}

impl UsageMetadata {
    /// The counts; none if there are none yet, as in the first chunks of a stream.
    pub(super) fn read(&self) -> Option<Usage> {
        if self.prompt_token_count.is_none() && self.total_token_count.is_none() {
            return None;
        }
        let reasoning = count(self.thoughts_token_count.as_ref());
        Some(Usage {
            input: count(self.prompt_token_count.as_ref())
                .saturating_add(count(self.tool_use_prompt_token_count.as_ref())),
            output: count(self.candidates_token_count.as_ref()).saturating_add(reasoning),
            cached: count(self.cached_content_token_count.as_ref()),
            cache_write: 0,
            reasoning,
        })
    }
}

fn count(number: Option<&Number>) -> u64 {
    number.and_then(Number::as_u64).unwrap_or(0)
}

/// Why a candidate ended; none if it did not. `called` = it called functions, which Gemini does not say here.
pub(super) fn read_finish(reason: &str, called: bool) -> Option<Finish> {
    Some(match reason {
        "" | "FINISH_REASON_UNSPECIFIED" => return None,
        "STOP" if called => Finish::ToolCalls,
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Finish::ContentFilter,
        other => Finish::Other(other.into()),
    })
}

impl LogprobsResult {
    /// In the form of chat completions.
    pub(super) fn write(self) -> Value {
        let mut alternatives = self.top_candidates.unwrap_or_default().into_iter();
        let content = self.chosen_candidates.unwrap_or_default().into_iter().map(|chosen| {
            let top = alternatives.next().and_then(|top| top.candidates).unwrap_or_default();
            let mut token = chosen.write();
            token["top_logprobs"] = top.into_iter().map(LogprobsCandidate::write).collect();
            token
        });
        json!({ "content": content.collect::<Value>() })
    }
}

impl LogprobsCandidate {
    fn write(self) -> Value {
        let token = self.token.unwrap_or_default();
        let bytes = token.clone().into_bytes();
        json!({ "token": token, "logprob": self.log_probability.unwrap_or(0.0), "bytes": bytes })
    }
}

/// Reads a time as `2026-03-10T14:54:45.066123Z`.
fn unix_seconds(time: &str) -> Option<i64> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock.split('.').next()?, ':')?;
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let year = if month < 3 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut numbers = text.split(separator).map(|number| number.parse::<u16>().ok().map(i64::from));
    let all = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read() {
        for (time, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-03-10T14:54:45.066123Z", Some(1_773_154_485)),
            ("2024-02-29T23:59:59Z", Some(1_709_251_199)),
            ("2000-01-01T00:00:00Z", Some(946_684_800)),
            ("2026-13-01T00:00:00Z", None),
            ("2026-03-10", None),
            ("", None),
        ] {
            assert_eq!(unix_seconds(time), expected, "{time}");
        }
    }

    #[test]
    fn every_reason_is_told() {
        for (reason, called, expected) in [
            ("STOP", false, Some(Finish::Stop)),
            ("STOP", true, Some(Finish::ToolCalls)),
            ("MAX_TOKENS", true, Some(Finish::Length)),
            ("SAFETY", false, Some(Finish::ContentFilter)),
            ("RECITATION", false, Some(Finish::ContentFilter)),
            ("BLOCKLIST", false, Some(Finish::ContentFilter)),
            ("PROHIBITED_CONTENT", false, Some(Finish::ContentFilter)),
            ("SPII", false, Some(Finish::ContentFilter)),
            ("MALFORMED_FUNCTION_CALL", false, Some(Finish::Other("MALFORMED_FUNCTION_CALL".into()))),
            ("FINISH_REASON_UNSPECIFIED", false, None),
        ] {
            assert_eq!(read_finish(reason, called), expected, "{reason}");
        }
    }

    #[test]
    fn an_id_follows_from_the_place_unless_given() {
        let call = |id: Option<&str>| FunctionCall {
            id: id.map(Into::into),
            name: "f".into(),
            args: None,
            partial_args: None,
        };

        assert_eq!(call(Some("x")).id("r", 0, 0), "x");
        assert_eq!(call(Some("")).id("r", 0, 0), call(None).id("r", 0, 0));
        assert_ne!(call(None).id("r", 0, 0), call(None).id("r", 0, 1));
        assert_ne!(call(None).id("r", 0, 0), call(None).id("s", 0, 0));
        // OpenAI allows 40 characters.
        assert_eq!(call(None).id("r", 0, 0).len(), 37);
    }

    #[test]
    fn thoughts_are_output_and_results_of_hosted_tools_input() {
        let usage: UsageMetadata = serde_json::from_value(json!({
            "promptTokenCount": 10, "toolUsePromptTokenCount": 3, "candidatesTokenCount": 5, "thoughtsTokenCount": 7,
            "cachedContentTokenCount": 4, "totalTokenCount": 25, "trafficType": "ON_DEMAND",
        }))
        .unwrap();

        let expected = Usage { input: 13, output: 12, cached: 4, cache_write: 0, reasoning: 7 };
        assert_eq!(usage.read(), Some(expected));
        let early: UsageMetadata = serde_json::from_value(json!({"trafficType": "ON_DEMAND"})).unwrap();
        assert_eq!(early.read(), None);
    }
}
