//! Numbers as values of headers, for those of every answer: no formatter, and no memory but the value's own.

use bytes::BytesMut;
use http::HeaderValue;

pub(crate) fn header_value(number: impl itoa::Integer) -> HeaderValue {
    HeaderValue::from_str(itoa::Buffer::new().format(number)).expect("digits are a header value")
}

/// The same, of several values that share their memory.
pub(crate) fn next_value(text: &mut BytesMut, number: impl itoa::Integer) -> HeaderValue {
    write(text, number);
    take_value(text)
}

pub(crate) fn write(text: &mut BytesMut, number: impl itoa::Integer) {
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// What was written since the last value.
pub(crate) fn take_value(text: &mut BytesMut) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.split().freeze()).expect("digits and letters")
}
