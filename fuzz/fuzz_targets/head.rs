//! What the cheap look says agrees with a full reading of the body, and an edit changes its place and nothing else.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, from_slice};
use wire::head::{model_edit, peek, splice};

const MODEL: &str = "other\"/\u{e9}";

fuzz_target!(|bytes: &[u8]| {
    let Ok(head) = peek(bytes) else { return };
    let body = Bytes::copy_from_slice(bytes);
    let before = from_slice::<Value>(&body);
    if let Ok(before) = &before {
        assert_eq!(before["model"].as_str(), Some(head.model.as_str()));
        assert_eq!(before["stream"].as_bool().unwrap_or_default(), head.stream);
    }

    let edited = splice(&body, vec![model_edit(&head, MODEL)]);

    let again = peek(&edited).expect("an edited body can be read");
    assert_eq!(again.model, MODEL);
    assert_eq!((again.stream, again.max_tokens, again.prefix_hash), (head.stream, head.max_tokens, head.prefix_hash));
    assert_eq!(edited[..head.model_span.start], body[..head.model_span.start]);
    assert_eq!(edited[again.model_span.end..], body[head.model_span.end..]);
    if let Ok(mut before) = before {
        before["model"] = MODEL.into();
        assert_eq!(from_slice::<Value>(&edited).expect("still JSON"), before);
    }
});
