//! Values of the headers that every answer has: numbers without a formatter, and one piece of memory for all of them.

use bytes::BytesMut;
use http::HeaderValue;

/// What the values of an answer take together, about.
const ABOUT_BYTES: usize = 256;

/// Makes values that share their memory.
pub(crate) struct Values(BytesMut);

impl Values {
    pub(crate) fn new() -> Self {
        Self(BytesMut::with_capacity(ABOUT_BYTES))
    }

    pub(crate) fn number(&mut self, number: impl itoa::Integer) -> HeaderValue {
        self.push_number(number);
        self.pushed().expect("digits are a header value")
    }

    /// None for text that no header can hold.
    pub(crate) fn text(&mut self, text: &str) -> Option<HeaderValue> {
        self.push(text);
        self.pushed()
    }

    pub(crate) fn push_number(&mut self, number: impl itoa::Integer) {
        self.push(itoa::Buffer::new().format(number));
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// What was pushed since the last value.
    pub(crate) fn pushed(&mut self) -> Option<HeaderValue> {
        HeaderValue::from_maybe_shared(self.0.split().freeze()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_its_own() {
        let mut values = Values::new();

        let made = [Some(values.number(-7)), values.text("m\n"), values.text("m/n"), values.text("")];

        assert_eq!(
            made.map(|value| value.map(|value| value.to_str().unwrap().to_owned())),
            [Some("-7".to_owned()), None, Some("m/n".to_owned()), Some(String::new())]
        );
    }
}
