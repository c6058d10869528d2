//! Trace context of requests: read from a caller, adopted by our own spans.

use ::http::{HeaderMap, HeaderName};
use domain::{TraceContext, TraceId};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId as OtelTraceId, TraceState},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header of the W3C recommendation.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The start of a new, sampled trace.
#[must_use]
pub fn root() -> TraceContext {
    let ids = RandomIdGenerator::default();
    let trace_id = TraceId(ids.new_trace_id().to_bytes());
    TraceContext { trace_id, span_id: ids.new_span_id().to_bytes(), is_sampled: true }
}

/// Another span of the same trace.
#[must_use]
pub fn child(parent: &TraceContext) -> TraceContext {
    TraceContext { span_id: RandomIdGenerator::default().new_span_id().to_bytes(), ..*parent }
}

/// What the caller says; `None` when it says nothing, nonsense, or two things.
#[must_use]
pub fn from_headers(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (first, second) = (values.next()?, values.next());
    second.is_none().then(|| first.to_str().ok().and_then(TraceContext::parse)).flatten()
}

/// Makes `span` a child of `remote` and says where in the trace it is, whether or not spans are exported.
/// Records the span's `trace_id` field, if it has one, which log lines pick up.
#[must_use]
pub fn adopt(span: &Span, remote: Option<TraceContext>) -> TraceContext {
    if let Some(remote) = remote {
        // Fails when the span is not exported, which is no reason to do anything else.
        let _ = span.set_parent(to_remote(&remote));
    }
    let context = span.context();
    let exported = context.span().span_context().clone();
    let here = if exported.is_valid() {
        let (trace_id, span_id) = (TraceId(exported.trace_id().to_bytes()), exported.span_id().to_bytes());
        TraceContext { trace_id, span_id, is_sampled: exported.trace_flags().is_sampled() }
    } else {
        remote.map_or_else(root, |remote| child(&remote))
    };
    span.record("trace_id", &*here.trace_id.text());
    here
}

fn to_remote(trace: &TraceContext) -> Context {
    let (trace_id, span_id) = (OtelTraceId::from_bytes(trace.trace_id.0), SpanId::from_bytes(trace.span_id));
    let flags = if trace.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    Context::new().with_remote_span_context(SpanContext::new(trace_id, span_id, flags, true, TraceState::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_child_keeps_the_trace_and_takes_a_new_span() {
        let parent = TraceContext::parse(PARENT).unwrap();

        let child = child(&parent);

        assert_eq!((child.trace_id, child.is_sampled), (parent.trace_id, true));
        assert_ne!(child.span_id, parent.span_id);
    }

    #[test]
    fn two_headers_are_as_good_as_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, PARENT.parse().unwrap());
        assert_eq!(from_headers(&headers).unwrap().traceparent(), PARENT);

        headers.append(TRACEPARENT, PARENT.parse().unwrap());
        assert_eq!(from_headers(&headers), None);
    }
}
