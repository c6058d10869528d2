//! Items a model produced besides messages: as its answer has them, and as the caller hands them back.

use super::sealed::Sealed;
use crate::{
    fields::Fields,
    pivot::{Content, Media, MediaSource, Part, ToolCall, TranslateError},
};

/// Reads a model's items in their order.
#[derive(Default)]
pub(super) struct ModelItems {
    // Of the next call; the dialect has no place for it in the call.
    signature: Option<String>,
}

impl ModelItems {
    /// Reads one item; it may say nothing. None if it is of another kind.
    pub(super) fn read(&mut self, kind: &str, item: &mut Fields) -> Result<Option<Vec<Part>>, TranslateError> {
        // They name and describe an item in OpenAI's store.
        item.ignore(&["id", "status"]);
        Ok(Some(match kind {
            "reasoning" => self.read_reasoning(item)?.into_iter().collect(),
            "function_call" => vec![self.read_call(item)?],
            "image_generation_call" => read_image(item)?.into_iter().collect(),
            _ => return Ok(None),
        }))
    }

    fn read_reasoning(&mut self, item: &mut Fields) -> Result<Option<Part>, TranslateError> {
        let summary = read_texts(item, "summary")?;
        let own_words = read_texts(item, "content")?;
        let text = if own_words.is_empty() { summary } else { own_words };
        let content = match item.string("encrypted_content")?.map(Sealed::read) {
            Some(Sealed::Redacted(secret)) => Content::RedactedThinking(secret),
            Some(Sealed::Call(signature)) => {
                self.signature = Some(signature);
                return Ok(None);
            }
            Some(Sealed::Signature(signature)) => Content::Thinking { text, signature: Some(signature) },
            None if text.is_empty() => return Ok(None),
            None => Content::Thinking { text, signature: None },
        };
        Ok(Some(Part::new(content)))
    }

    fn read_call(&mut self, item: &mut Fields) -> Result<Part, TranslateError> {
        item.refuse("namespace", "is not supported: no tools can be declared in namespaces here.")?;
        // Who ran it changes nothing about what it means; the last is what OpenAI's clients made of it.
        item.ignore(&["caller", "async", "parsed_arguments"]);
        Ok(Part::new(Content::ToolCall(ToolCall {
            id: item.required_string("call_id")?,
            name: item.required_string("name")?,
            arguments: item.required_string("arguments")?,
            signature: self.signature.take(),
        })))
    }
}

fn read_texts(item: &mut Fields, name: &str) -> Result<String, TranslateError> {
    let mut texts = Vec::new();
    for mut part in item.objects(name)? {
        texts.push(part.required_string("text")?);
    }
    Ok(texts.join("\n\n"))
}

fn read_image(item: &mut Fields) -> Result<Option<Part>, TranslateError> {
    let format = item.string("output_format")?.unwrap_or_else(|| "png".to_owned());
    let image = item
        .string("result")?
        .map(|data| Media { source: MediaSource::Base64(data), media_type: Some(format!("image/{format}")) });
    // How it was made is of no use to another model.
    item.ignore(&["action", "background", "quality", "revised_prompt", "size"]);
    Ok(image.map(|image| Part::new(Content::Image(image))))
}
