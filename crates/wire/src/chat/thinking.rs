//! Reasoning on the model's messages. Servers tell its text as `reasoning_content` (newer vLLM: `reasoning`); proofs to
//! be handed back unchanged stand in `thinking_blocks`, as other gateways of this dialect write them.

use crate::{
    fields::{Fields, objects},
    pivot::{Content, Part, TranslateError},
};
use serde_json::{Value, json};

/// Takes the reasoning off a message. Blocks repeat the text, so they count where both are there.
pub(super) fn read(message: &mut Fields) -> Result<Vec<Part>, TranslateError> {
    let text = read_text(message)?;
    let blocks = read_blocks(message)?;
    let told = text.filter(|text| !text.is_empty() && !blocks.iter().any(has_text));
    let text = told.map(|text| Content::Thinking { text, signature: None });
    Ok(text.into_iter().chain(blocks).map(Part::new).collect())
}

/// A server that has both names says the same twice.
fn read_text(message: &mut Fields) -> Result<Option<String>, TranslateError> {
    let older = message.string("reasoning_content")?;
    // Some have an object of this name, which nobody here knows.
    if older.is_none() && message.has_string("reasoning") {
        return message.string("reasoning");
    }
    if message.has_string("reasoning") {
        message.ignore(&["reasoning"]);
    }
    Ok(older)
}

fn has_text(block: &Content) -> bool {
    matches!(block, Content::Thinking { text, .. } if !text.is_empty())
}

fn read_blocks(message: &mut Fields) -> Result<Vec<Content>, TranslateError> {
    let list = message.list("thinking_blocks")?.unwrap_or_default();
    objects(list, &message.place("thinking_blocks"))?.into_iter().map(read_block).collect()
}

fn read_block(mut block: Fields) -> Result<Content, TranslateError> {
    match block.required_string("type")?.as_str() {
        "thinking" => Ok(Content::Thinking {
            text: block.string("thinking")?.unwrap_or_default(),
            signature: block.string("signature")?.filter(|signature| !signature.is_empty()),
        }),
        "redacted_thinking" => Ok(Content::RedactedThinking(block.required_string("data")?)),
        kind => {
            let why = format!("is `{kind}`; it must be `thinking` or `redacted_thinking`.");
            Err(block.error("type", &why))
        }
    }
}

/// The text of all reasoning, if there is any.
pub(super) fn write_text<'a>(parts: impl Iterator<Item = &'a Part>) -> Option<String> {
    let texts: Vec<_> = parts
        .filter_map(|part| match &part.content {
            Content::Thinking { text, .. } if !text.is_empty() => Some(text.as_str()),
            _ => None,
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// The blocks, if any of them is more than text.
pub(super) fn write_blocks<'a>(parts: impl Iterator<Item = &'a Part> + Clone) -> Option<Value> {
    let has_proof = parts.clone().any(|part| {
        matches!(part.content, Content::RedactedThinking(_) | Content::Thinking { signature: Some(_), .. })
    });
    let blocks = parts.filter_map(|part| match &part.content {
        Content::Thinking { text, signature: Some(signature) } => Some(signed_block(text, signature)),
        Content::Thinking { text, signature: None } => Some(json!({ "type": "thinking", "thinking": text })),
        Content::RedactedThinking(data) => Some(redacted_block(data)),
        _ => None,
    });
    has_proof.then(|| blocks.collect())
}

/// A block of reasoning with its proof.
pub(super) fn signed_block(text: &str, signature: &str) -> Value {
    json!({ "type": "thinking", "thinking": text, "signature": signature })
}

/// A block that only the provider can read.
pub(super) fn redacted_block(data: &str) -> Value {
    json!({ "type": "redacted_thinking", "data": data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(message: Value) -> Vec<Content> {
        let parts = read(&mut Fields::new(message, "m").unwrap()).unwrap();
        parts.into_iter().map(|part| part.content).collect()
    }

    fn thinking(text: &str, signature: Option<&str>) -> Content {
        Content::Thinking { text: text.into(), signature: signature.map(Into::into) }
    }

    #[test]
    fn text_has_two_names() {
        assert_eq!(contents(json!({"reasoning_content": "Hm."})), [thinking("Hm.", None)]);
        assert_eq!(contents(json!({"reasoning": "Hm.", "reasoning_content": null})), [thinking("Hm.", None)]);
        assert_eq!(contents(json!({"reasoning": "Hm.", "reasoning_content": "Hm."})), [thinking("Hm.", None)]);
        assert_eq!(contents(json!({"reasoning": {"new": 1}, "reasoning_content": ""})), []);
    }

    #[test]
    fn blocks_say_more_than_text() {
        let blocks = json!([
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
        ]);
        let expected = [thinking("Hm.", Some("s")), Content::RedactedThinking("x".into())];

        assert_eq!(contents(json!({"reasoning_content": "Hm.", "thinking_blocks": blocks})), expected);
        let parts = expected.map(Part::new);
        assert_eq!(write_blocks(parts.iter()), Some(blocks));
        assert_eq!(write_text(parts.iter()).as_deref(), Some("Hm."));
    }

    #[test]
    fn text_beside_a_secret_is_not_lost() {
        let secret = json!([{"type": "redacted_thinking", "data": "x"}]);

        let read = contents(json!({"reasoning_content": "Hm.", "thinking_blocks": secret}));

        assert_eq!(read, [thinking("Hm.", None), Content::RedactedThinking("x".into())]);
    }

    #[test]
    fn text_alone_needs_no_blocks() {
        let parts = [Part::new(thinking("a", None)), Part::text("b"), Part::new(thinking("c", None))];

        assert_eq!(write_blocks(parts.iter()), None);
        assert_eq!(write_text(parts.iter()).as_deref(), Some("a\n\nc"));
    }
}
