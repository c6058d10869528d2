//! What an answer did that its end must agree with: dialects differ in whether a call or a refusal ends it in a word of
//! its own or with a mere stop.

use crate::pivot::{Content, Part};

/// What an answer did besides talking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Deeds {
    /// It called a tool.
    pub(crate) called: bool,
    /// It declined, and said so.
    pub(crate) declined: bool,
}

impl Deeds {
    /// What the parts of an answer show.
    pub(crate) fn of(parts: &[Part]) -> Self {
        Self {
            called: parts.iter().any(|part| matches!(part.content, Content::ToolCall(_))),
            declined: parts.iter().any(|part| matches!(part.content, Content::Refusal(_))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pivot::ToolCall;

    #[test]
    fn parts_show_what_was_done() {
        let call = Part::new(Content::ToolCall(ToolCall::default()));
        let refusal = Part::new(Content::Refusal("No.".into()));

        assert_eq!(Deeds::of(&[Part::text("Hi")]), Deeds::default());
        assert_eq!(Deeds::of(&[Part::text("Hi"), call]), Deeds { called: true, declined: false });
        assert_eq!(Deeds::of(&[refusal]), Deeds { called: false, declined: true });
    }
}
