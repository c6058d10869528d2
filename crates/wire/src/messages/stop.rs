//! Why an answer ended, as `stop_reason` and `stop_sequence`.

use crate::{deeds::Deeds, pivot::Finish};

/// Reads both.
pub(super) fn read(reason: String, sequence: Option<String>) -> Finish {
    match reason.as_str() {
        "end_turn" => Finish::Stop,
        "stop_sequence" => Finish::StopSequence(sequence),
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::Refusal,
        "pause_turn" => Finish::Pause,
        _ => Finish::Other(reason),
    }
}

/// Writes both.
pub(super) fn write(finish: &Finish, deeds: Deeds) -> (&str, Option<&str>) {
    let reason = match finish {
        Finish::Stop if deeds.declined => "refusal",
        Finish::Stop if deeds.called => "tool_use",
        Finish::Stop => "end_turn",
        Finish::StopSequence(sequence) => return ("stop_sequence", sequence.as_deref()),
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter | Finish::Refusal => "refusal",
        Finish::Pause => "pause_turn",
        Finish::Other(reason) => reason,
    };
    (reason, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_back_as_they_were() {
        for reason in ["end_turn", "max_tokens", "tool_use", "refusal", "pause_turn", "new_reason"] {
            assert_eq!(write(&read(reason.into(), None), Deeds::default()), (reason, None));
        }
        let finish = read("stop_sequence".into(), Some("END".into()));
        assert_eq!(write(&finish, Deeds::default()), ("stop_sequence", Some("END")));
        assert_eq!(read("model_context_window_exceeded".into(), None), Finish::Length);
    }

    #[test]
    fn a_mere_stop_agrees_with_what_was_done() {
        let called = Deeds { called: true, declined: false };
        let declined = Deeds { called: false, declined: true };

        assert_eq!(write(&Finish::Stop, called).0, "tool_use");
        assert_eq!(write(&Finish::Stop, declined).0, "refusal");
        assert_eq!(write(&Finish::Length, called).0, "max_tokens");
        assert_eq!(write(&Finish::ContentFilter, Deeds::default()).0, "refusal");
    }
}
