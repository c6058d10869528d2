//! Why an answer ended.

use crate::{deeds::Deeds, pivot::Finish};
use serde_json::Value;

/// Reads `finish_reason` and vLLM's `stop_reason`.
pub(super) fn read(reason: &str, stop_reason: Option<&Value>, deeds: Deeds) -> Finish {
    match (reason, stop_reason) {
        ("stop", Some(Value::String(text))) => Finish::StopSequence(Some(text.clone())),
        // OpenAI and vLLM say so of a call that had to be made, but tools are to be run all the same.
        ("stop", _) if deeds.called => Finish::ToolCalls,
        ("stop", _) if deeds.declined => Finish::Refusal,
        ("stop", _) => Finish::Stop,
        ("length", _) => Finish::Length,
        ("tool_calls" | "function_call", _) => Finish::ToolCalls,
        ("content_filter", _) => Finish::ContentFilter,
        (other, _) => Finish::Other(other.to_owned()),
    }
}

/// Writes `finish_reason` and, if a stop text is known, `stop_reason`.
pub(super) fn write(finish: &Finish, deeds: Deeds) -> (&str, Option<&str>) {
    match finish {
        Finish::Stop => ("stop", None),
        Finish::StopSequence(text) => ("stop", text.as_deref()),
        // A pause is no end: what came is not complete.
        Finish::Length | Finish::Pause => ("length", None),
        Finish::ToolCalls => ("tool_calls", None),
        // OpenAI says it in the message; a model that declines without a word must not look as if it was done.
        Finish::Refusal if deeds.declined => ("stop", None),
        Finish::Refusal | Finish::ContentFilter => ("content_filter", None),
        Finish::Other(reason) => (reason, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLAIN: Deeds = Deeds { called: false, declined: false };

    #[test]
    fn reasons_are_read() {
        let calls = Deeds { called: true, declined: false };
        let refusal = Deeds { called: false, declined: true };
        for (reason, stop_reason, deeds, expected) in [
            ("stop", None, PLAIN, Finish::Stop),
            ("stop", Some(json!("###")), PLAIN, Finish::StopSequence(Some("###".into()))),
            ("stop", Some(json!(128_009)), PLAIN, Finish::Stop),
            ("stop", None, calls, Finish::ToolCalls),
            ("stop", None, refusal, Finish::Refusal),
            ("length", None, calls, Finish::Length),
            ("tool_calls", None, calls, Finish::ToolCalls),
            ("function_call", None, PLAIN, Finish::ToolCalls),
            ("content_filter", None, PLAIN, Finish::ContentFilter),
            ("abort", None, PLAIN, Finish::Other("abort".into())),
        ] {
            assert_eq!(read(reason, stop_reason.as_ref(), deeds), expected);
        }
    }

    #[test]
    fn reasons_are_written() {
        let refusal = Deeds { called: false, declined: true };
        for (finish, deeds, expected) in [
            (Finish::Stop, PLAIN, ("stop", None)),
            (Finish::StopSequence(Some("###".into())), PLAIN, ("stop", Some("###"))),
            (Finish::StopSequence(None), PLAIN, ("stop", None)),
            (Finish::Length, PLAIN, ("length", None)),
            (Finish::Pause, PLAIN, ("length", None)),
            (Finish::ToolCalls, PLAIN, ("tool_calls", None)),
            (Finish::ContentFilter, PLAIN, ("content_filter", None)),
            (Finish::Refusal, PLAIN, ("content_filter", None)),
            (Finish::Refusal, refusal, ("stop", None)),
            (Finish::Other("abort".into()), PLAIN, ("abort", None)),
        ] {
            assert_eq!(write(&finish, deeds), expected);
        }
    }
}
