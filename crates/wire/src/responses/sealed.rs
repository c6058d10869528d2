//! What only a provider can read, as `encrypted_content` of a reasoning item: the one field every client of this
//! dialect hands back. Three kinds share it, so the two rarer ones bear a mark; no provider's base64 has a colon.

const REDACTED: &str = "redacted_thinking:";
const CALL: &str = "tool_call:";

/// A provider's secret and what it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    /// The signature of the reasoning in the same item.
    Signature(String),
    /// Reasoning itself.
    Redacted(String),
    /// The signature of the next tool call.
    Call(String),
}

impl Sealed {
    pub(super) fn read(text: String) -> Self {
        if let Some(secret) = text.strip_prefix(REDACTED) {
            Self::Redacted(secret.to_owned())
        } else if let Some(secret) = text.strip_prefix(CALL) {
            Self::Call(secret.to_owned())
        } else {
            Self::Signature(text)
        }
    }

    pub(super) fn write(&self) -> String {
        match self {
            Self::Signature(secret) => secret.clone(),
            Self::Redacted(secret) => format!("{REDACTED}{secret}"),
            Self::Call(secret) => format!("{CALL}{secret}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for sealed in [Sealed::Signature("gAAA=".into()), Sealed::Redacted("x".into()), Sealed::Call("y".into())] {
            assert_eq!(Sealed::read(sealed.write()), sealed);
        }
    }
}
