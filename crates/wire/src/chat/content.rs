//! The parts of a message's `content`.

use super::{
    PROVIDER,
    object::{self, Object},
};
use crate::{
    fields::{Fields, must_be, objects},
    media,
    pivot::{Content, Media, MediaSource, Part, TranslateError},
};
use serde_json::{Map, Value, json};

/// Reads a `content`: a string, or a list of parts.
pub(super) fn read(value: Option<Value>, place: &str) -> Result<Vec<Part>, TranslateError> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(list)) => objects(list, place)?.into_iter().map(read_part).collect(),
        Some(_) => Err(must_be(place, "a string or a list of parts")),
    }
}

fn read_part(mut part: Fields) -> Result<Part, TranslateError> {
    let kind = part.required_string("type")?;
    let mut told = Map::new();
    let content = match kind.as_str() {
        "text" => Content::Text(part.required_string("text")?),
        "refusal" => Content::Refusal(part.required_string("refusal")?),
        "image_url" => Content::Image(read_image(&mut part, &mut told)?),
        "input_audio" => Content::Audio(read_audio(&mut part, &mut told)?),
        "file" => Content::File(read_file(&mut part, &mut told)?),
        // As vLLM's `video_url` and `audio_url`.
        _ => {
            part.put("type", kind);
            return Ok(Part::new(Content::Other(part.rest().into())));
        }
    };
    told.extend(part.rest());
    Ok(Part { content, rest: told })
}

fn read_image(part: &mut Fields, told: &mut Map<String, Value>) -> Result<Media, TranslateError> {
    // vLLM also takes the address alone.
    if part.has_string("image_url") {
        return part.required_string("image_url").map(media::of_url);
    }
    let mut image = part.required_object("image_url")?;
    let media = media::of_url(image.required_string("url")?);
    // `auto` is what every model does when nothing is said.
    if let Some(detail) = image.string("detail")?.filter(|detail| detail != "auto") {
        told.insert("detail".into(), detail.into());
    }
    keep_inner(told, "image_url", image);
    Ok(media)
}

fn read_audio(part: &mut Fields, told: &mut Map<String, Value>) -> Result<Media, TranslateError> {
    let mut audio = part.required_object("input_audio")?;
    let data = audio.required_string("data")?;
    let media_type = media::of_format(&audio.required_string("format")?);
    keep_inner(told, "input_audio", audio);
    Ok(Media { source: MediaSource::Base64(data), media_type: Some(media_type) })
}

fn read_file(part: &mut Fields, told: &mut Map<String, Value>) -> Result<Media, TranslateError> {
    let mut file = part.required_object("file")?;
    let filename = file.string("filename")?;
    let media = match (file.string("file_data")?, file.string("file_id")?) {
        (Some(data), _) => media::of_file_data(data, filename.as_deref()),
        (None, Some(id)) => Media { source: MediaSource::FileId(id), media_type: None },
        (None, None) => return Err(file.error("file_data", "is required, or a `file_id`.")),
    };
    if let Some(filename) = filename {
        told.insert("filename".into(), filename.into());
    }
    keep_inner(told, "file", file);
    Ok(media)
}

/// Unknown fields of an inner object survive under its name.
fn keep_inner(told: &mut Map<String, Value>, name: &str, inner: Fields) {
    let rest = inner.rest();
    if !rest.is_empty() {
        told.insert(name.into(), rest.into());
    }
}

/// What an earlier answer told about the sources of its text; it says nothing new to a model.
const CITED: &str = "citations";

/// Kinds of parts that only Anthropic has words for: its own tools at work, and sources that nobody else reads.
const FOREIGN: [&str; 6] =
    ["server_tool_use", "search_result", "document", "image", "container_upload", "mcp_tool_use"];

/// Writes a `content`, as a string where one says it all.
pub(super) fn write(parts: &[&Part], place: &str) -> Result<Value, TranslateError> {
    match parts {
        [] => Ok("".into()),
        [Part { content: Content::Text(text), rest }] if object::without_hints(rest).all(|(name, _)| name == CITED) => {
            Ok(text.as_str().into())
        }
        parts => parts.iter().map(|part| write_part(part, place)).collect::<Result<Vec<_>, _>>().map(Value::from),
    }
}

fn write_part(part: &Part, place: &str) -> Result<Value, TranslateError> {
    let no_words = || TranslateError::unsupported(place, PROVIDER);
    let mut rest = part.rest.clone();
    let mut written = match &part.content {
        Content::Text(text) => {
            rest.shift_remove(CITED);
            json!({ "type": "text", "text": text })
        }
        Content::Refusal(text) => json!({ "type": "refusal", "refusal": text }),
        Content::Image(image) => {
            let mut inner = json!({ "url": media::to_url(image).ok_or_else(no_words)? });
            inner.add_known(&mut rest, "detail");
            json!({ "type": "image_url", "image_url": inner })
        }
        Content::Audio(Media { source: MediaSource::Base64(data), media_type }) => {
            let format = media_type.as_deref().and_then(media::to_format).ok_or_else(no_words)?;
            json!({ "type": "input_audio", "input_audio": { "data": data, "format": format } })
        }
        Content::File(file) => {
            refuse_more(&mut rest, place)?;
            let mut inner = write_file(file).ok_or_else(no_words)?;
            inner.add_known(&mut rest, "filename");
            json!({ "type": "file", "file": inner })
        }
        Content::Other(value) if is_foreign(value) => return Err(no_words()),
        Content::Other(value) => value.clone(),
        Content::Audio(_)
        | Content::Thinking { .. }
        | Content::RedactedThinking(_)
        | Content::ToolCall(_)
        | Content::ToolResult { .. } => return Err(no_words()),
    };
    for name in ["image_url", "input_audio", "file"] {
        written.add_inner(&mut rest, name);
    }
    written.add_rest(&rest);
    Ok(written)
}

fn is_foreign(value: &Value) -> bool {
    value["type"].as_str().is_some_and(|kind| FOREIGN.contains(&kind) || kind.ends_with("_tool_result"))
}

/// What Anthropic's documents may have besides: a wish for citations, and words about the document.
fn refuse_more(rest: &mut Map<String, Value>, place: &str) -> Result<(), TranslateError> {
    let wish = rest.shift_remove(CITED).unwrap_or_default();
    if wish["enabled"] == true {
        return Err(TranslateError::unsupported(format!("{place}.{CITED}"), PROVIDER));
    }
    if rest.contains_key("context") {
        return Err(TranslateError::unsupported(format!("{place}.context"), PROVIDER));
    }
    Ok(())
}

fn write_file(file: &Media) -> Option<Value> {
    match &file.source {
        MediaSource::FileId(id) => Some(json!({ "file_id": id })),
        MediaSource::Base64(_) => media::to_url(file).map(|url| json!({ "file_data": url })),
        // The dialect has no address of a file.
        MediaSource::Url(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(part: &Value) -> Value {
        let parts = read(Some(json!([part])), "c").unwrap();
        write(&parts.iter().collect::<Vec<_>>(), "c").unwrap()
    }

    #[test]
    fn every_part_comes_back_with_what_is_unknown() {
        for part in [
            json!({"type": "text", "text": "x", "new": 1}),
            json!({"type": "image_url", "image_url": {"url": "https://x/a", "detail": "low", "new": 1}, "newer": 2}),
            json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}),
            json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3", "new": 1}}),
            json!({"type": "file", "file": {"file_id": "f", "new": 1}}),
            json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}}),
            json!({"type": "refusal", "refusal": "No."}),
            json!({"type": "video_url", "video_url": {"url": "https://x/a"}}),
        ] {
            assert_eq!(round(&part), json!([part]));
        }
    }

    #[test]
    fn the_same_is_said_one_way() {
        assert_eq!(round(&json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}})), json!("x"));
        let image = json!({"type": "image_url", "image_url": {"url": "https://x/a"}});
        assert_eq!(round(&json!({"type": "image_url", "image_url": "https://x/a"})), json!([image]));
        let raw = json!({"type": "file", "file": {"file_data": "AA", "filename": "a.PDF"}});
        assert_eq!(round(&raw)[0]["file"]["file_data"], "data:application/pdf;base64,AA");
    }

    #[test]
    fn a_part_that_cannot_be_read_is_named() {
        for (part, place) in [
            (json!({"type": "image_url"}), "c[0].image_url"),
            (json!({"type": "image_url", "image_url": {}}), "c[0].image_url.url"),
            (json!({"type": "file", "file": {"filename": "x"}}), "c[0].file.file_data"),
            (json!({"type": "input_audio", "input_audio": {"data": "AA"}}), "c[0].input_audio.format"),
            (json!({"text": "x"}), "c[0].type"),
            (json!("x"), "c[0]"),
        ] {
            assert_eq!(read(Some(json!([part])), "c").unwrap_err().param.as_deref(), Some(place));
        }
    }

    #[test]
    fn what_there_are_no_words_for_is_refused() {
        let media = |source| Media { source, media_type: None };
        for content in [
            Content::Image(media(MediaSource::FileId("f".into()))),
            Content::File(media(MediaSource::Url("https://x/a".into()))),
            Content::Audio(media(MediaSource::Url("https://x/a".into()))),
            Content::Audio(media(MediaSource::Base64("AA".into()))),
        ] {
            assert_eq!(write(&[&Part::new(content)], "c").unwrap_err().param.as_deref(), Some("c"));
        }
    }
}
