//! Text that is short nearly always, as identifiers are, and then takes no memory but its own.

use serde::{Deserialize, Serialize};
use smallstr::SmallString;
use std::ops::Deref;

/// Text of up to 36 bytes in place, which hold `req_` and a UUID in hex; longer text lies on the heap. For what a usage record keeps
/// for a while: a block of its own would have left the caches when it is freed, and who allocates next would get it.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShortText(SmallString<[u8; 36]>);

impl Clone for ShortText {
    /// At once: what would be derived copies one byte after the other.
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl From<&str> for ShortText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Deref for ShortText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_length_is_kept_whole() {
        for chars in [0, 36, 37, 200] {
            let text = "x".repeat(chars);

            assert_eq!(&*ShortText::from(text.as_str()).clone(), text);
        }
    }
}
