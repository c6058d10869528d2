//! W3C trace context: the place in a trace that a request has.

use crate::ShortText;

/// What `traceparent` says (W3C Trace Context, level 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The whole trace.
    pub trace_id: TraceId,
    /// The span in it, never zero.
    pub span_id: [u8; 8],
    /// Whether whoever began the trace records it.
    pub is_sampled: bool,
}

/// Names a trace, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

/// `traceparent`'s flag for a trace that is recorded.
const SAMPLED: u8 = 1;

impl TraceContext {
    /// Reads a `traceparent` value. Versions after 00 are read as far as 00 goes, as the recommendation asks.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let [version] = bytes(parts.next()?)?;
        let trace_id = TraceId(bytes(parts.next()?)?);
        let span_id = bytes(parts.next()?)?;
        let [flags] = bytes(parts.next()?)?;
        let has_more = parts.next().is_some();
        let is_valid = version != 0xff && !(version == 0 && has_more);
        let is_whole = trace_id.0 != [0; 16] && span_id != [0; 8];
        (is_valid && is_whole).then_some(Self { trace_id, span_id, is_sampled: flags & SAMPLED != 0 })
    }

    /// The value of the header.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let mut text = *b"00-................................-................-00";
        write(&self.trace_id.0, &mut text[3..35]);
        write(&self.span_id, &mut text[36..52]);
        if self.is_sampled {
            text[54] = b'1';
        }
        ascii(&text).to_owned()
    }
}

impl TraceId {
    /// 32 hex digits.
    #[must_use]
    pub fn text(&self) -> ShortText {
        let mut digits = [0; 32];
        write(&self.0, &mut digits);
        ascii(&digits).into()
    }
}

/// Writes hex digits at once: a request has many, and an iterator over them takes several times as long.
fn write(bytes: &[u8], digits: &mut [u8]) {
    hex::encode_to_slice(bytes, digits).expect("two digits for each byte");
}

fn ascii(text: &[u8]) -> &str {
    str::from_utf8(text).expect("hex digits are ASCII")
}

/// Bytes of so many lower-case hex digits: the recommendation knows no upper case, which the decoder would take.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_read = hex::decode_to_slice(digits, &mut bytes).is_ok();
    (is_read && !digits.contains(|digit: char| digit.is_ascii_uppercase())).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_again() {
        let trace = TraceContext::parse(PARENT).unwrap();

        assert_eq!(trace.traceparent(), PARENT);
        assert_eq!(&*trace.trace_id.text(), &PARENT[3..35]);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_the_first_goes() {
        let later = format!("cc{}-more", &PARENT[2..]);

        assert_eq!(TraceContext::parse(&later), TraceContext::parse(PARENT));
    }

    #[test]
    fn what_the_recommendation_forbids_is_not_read() {
        let bad = [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ];
        for text in bad {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }
}
