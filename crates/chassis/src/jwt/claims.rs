//! What a token says before it is believed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

/// Whether the text has the shape of a token: three parts with dots between them.
#[must_use]
pub fn is_token(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Who the token says has issued it. Nothing is checked: this only tells which verifier to ask.
#[must_use]
pub fn claimed_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claimed {
        iss: String,
    }

    if token.len() > super::MAX_TOKEN_BYTES {
        return None;
    }
    let json = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claimed>(&json).ok().map(|claimed| claimed.iss)
}
