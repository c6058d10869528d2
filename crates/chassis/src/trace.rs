//! W3C trace context: read from a caller, handed on to whoever is called.

use ::http::HeaderMap;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header of the W3C recommendation.
pub const TRACEPARENT: &str = "traceparent";

/// A place in a trace: what `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    flags: TraceFlags,
}

impl TraceContext {
    /// The start of a new, sampled trace.
    #[must_use]
    pub fn root() -> Self {
        let ids = RandomIdGenerator::default();
        Self { trace_id: ids.new_trace_id(), span_id: ids.new_span_id(), flags: TraceFlags::SAMPLED }
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: RandomIdGenerator::default().new_span_id(), ..*self }
    }

    /// What the caller says; `None` when it says nothing, nonsense, or two things.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (first, second) = (values.next()?, values.next());
        second.is_none().then(|| first.to_str().ok().and_then(Self::parse)).flatten()
    }

    /// Reads a `traceparent` value. Versions after 00 are read as far as 00 goes, as the recommendation asks.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let version = hex(parts.next()?, 2)?;
        let trace_id = TraceId::from_hex(hex(parts.next()?, 32)?).ok()?;
        let span_id = SpanId::from_hex(hex(parts.next()?, 16)?).ok()?;
        let flags = u8::from_str_radix(hex(parts.next()?, 2)?, 16).ok()?;
        let has_more = parts.next().is_some();
        let valid = version != "ff" && !(version == "00" && has_more);
        let known = TraceFlags::new(flags) & TraceFlags::SAMPLED;
        (valid && trace_id != TraceId::INVALID && span_id != SpanId::INVALID).then_some(Self {
            trace_id,
            span_id,
            flags: known,
        })
    }

    /// The value of the header.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let mut text = String::with_capacity(55);
        text.push_str("00-");
        push_hex(&mut text, &self.trace_id.to_bytes());
        text.push('-');
        push_hex(&mut text, &self.span_id.to_bytes());
        text.push('-');
        push_hex(&mut text, &[self.flags.to_u8()]);
        text
    }

    /// 32 hex digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        let mut text = String::with_capacity(32);
        push_hex(&mut text, &self.trace_id.to_bytes());
        text
    }

    /// 16 hex digits.
    #[must_use]
    pub fn span_id(&self) -> String {
        self.span_id.to_string()
    }

    /// Whether the caller records this trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags.is_sampled()
    }

    fn to_remote(self) -> Context {
        let remote = SpanContext::new(self.trace_id, self.span_id, self.flags, true, TraceState::default());
        Context::new().with_remote_span_context(remote)
    }
}

/// The `traceparent` for a call made on behalf of `parent`: the same trace, or a new one when there is none.
#[must_use]
pub fn child_of(parent: Option<&str>) -> String {
    parent.and_then(TraceContext::parse).map_or_else(TraceContext::root, |parent| parent.child()).traceparent()
}

/// Makes `span` a child of `remote` and says where in the trace it is, whether or not spans are exported.
/// Records the span's `trace_id` field, if it has one, which log lines pick up.
#[must_use]
pub fn adopt(span: &Span, remote: Option<TraceContext>) -> TraceContext {
    if let Some(remote) = remote {
        // Fails when the span is not exported, which is no reason to do anything else.
        let _ = span.set_parent(remote.to_remote());
    }
    let context = span.context();
    let exported = context.span().span_context().clone();
    let here = if exported.is_valid() {
        TraceContext { trace_id: exported.trace_id(), span_id: exported.span_id(), flags: exported.trace_flags() }
    } else {
        remote.map_or_else(TraceContext::root, |remote| remote.child())
    };
    span.record("trace_id", here.trace_id());
    here
}

fn hex(text: &str, len: usize) -> Option<&str> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == len && text.bytes().all(lower)).then_some(text)
}

/// Every request writes some: the formatter takes several times as long.
fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// The trace that a `traceparent` of [`TraceContext::traceparent`] belongs to, in hex.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.get(3..35)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_child_keeps_the_trace_and_takes_a_new_span() {
        let child = child_of(Some(PARENT));

        assert_eq!(child[..36], PARENT[..36]);
        assert_ne!(child[36..52], PARENT[36..52]);
        assert!(child.ends_with("-01"), "{child}");
    }

    #[test]
    fn a_call_without_a_parent_starts_a_trace() {
        assert!(TraceContext::parse(&child_of(None)).is_some());
        assert!(TraceContext::parse(&child_of(Some("nonsense"))).is_some());
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
        ];
        for text in bad {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[test]
    fn two_headers_are_as_good_as_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, PARENT.parse().unwrap());
        assert_eq!(TraceContext::from_headers(&headers).unwrap().traceparent(), PARENT);

        headers.append(TRACEPARENT, PARENT.parse().unwrap());
        assert_eq!(TraceContext::from_headers(&headers), None);
    }
}
