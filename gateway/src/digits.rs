//! Numbers as values of headers, for those of every answer: no formatter, and no memory but the value's own.

use http::HeaderValue;

pub(crate) fn header_value(number: impl itoa::Integer) -> HeaderValue {
    HeaderValue::from_str(itoa::Buffer::new().format(number)).expect("digits are a header value")
}
