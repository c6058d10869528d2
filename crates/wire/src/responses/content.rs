//! The parts of messages and of tool outputs.

use crate::{
    fields::{Fields, must_be, objects},
    media,
    pivot::{Content, Media, MediaSource, Part, TranslateError},
};
use serde_json::{Map, Value};

/// Reads a `content` or an `output`: a string, or a list of parts.
pub(super) fn read(value: Option<Value>, place: &str) -> Result<Vec<Part>, TranslateError> {
    match value {
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(list)) => objects(list, place)?.into_iter().map(read_part).collect(),
        _ => Err(must_be(place, "a string or a list of parts")),
    }
}

fn read_part(mut part: Fields) -> Result<Part, TranslateError> {
    let kind = part.required_string("type")?;
    // Hints where to cache: they change the price and not the answer.
    part.ignore(&["prompt_cache_breakpoint"]);
    let mut told = Map::new();
    let content = match kind.as_str() {
        "input_text" | "output_text" | "text" => {
            // What an earlier answer told about its text, and what OpenAI's clients made of it; the model never saw it.
            part.ignore(&["annotations", "logprobs", "parsed"]);
            Content::Text(part.required_string("text")?)
        }
        "refusal" => Content::Refusal(part.required_string("refusal")?),
        "input_image" => {
            tell_detail(&mut part, &mut told)?;
            Content::Image(read_image(&mut part)?)
        }
        "input_file" => {
            tell_detail(&mut part, &mut told)?;
            Content::File(read_file(&mut part, &mut told)?)
        }
        "input_audio" => Content::Audio(read_audio(&mut part)?),
        _ => {
            let why = format!(
                "is `{kind}`; it must be `input_text`, `input_image`, `input_file`, `input_audio`, `output_text` or \
                 `refusal`."
            );
            return Err(part.error("type", &why));
        }
    };
    told.extend(part.rest());
    Ok(Part { content, rest: told })
}

fn tell_detail(part: &mut Fields, told: &mut Map<String, Value>) -> Result<(), TranslateError> {
    // `auto` is what every model does when nothing is said.
    if let Some(detail) = part.string("detail")?.filter(|detail| detail != "auto") {
        told.insert("detail".into(), detail.into());
    }
    Ok(())
}

fn read_image(part: &mut Fields) -> Result<Media, TranslateError> {
    match (part.string("image_url")?, part.string("file_id")?) {
        (Some(url), _) => Ok(media::of_url(url)),
        (None, Some(id)) => Ok(Media { source: MediaSource::FileId(id), media_type: None }),
        (None, None) => Err(part.error("image_url", "is required, or a `file_id`.")),
    }
}

fn read_file(part: &mut Fields, told: &mut Map<String, Value>) -> Result<Media, TranslateError> {
    let filename = part.string("filename")?;
    let media = match (part.string("file_data")?, part.string("file_url")?, part.string("file_id")?) {
        (Some(data), _, _) => media::of_file_data(data, filename.as_deref()),
        (None, Some(url), _) => media::of_url(url),
        (None, None, Some(id)) => Media { source: MediaSource::FileId(id), media_type: None },
        (None, None, None) => return Err(part.error("file_data", "is required, or a `file_url` or a `file_id`.")),
    };
    if let Some(filename) = filename {
        told.insert("filename".into(), filename.into());
    }
    Ok(media)
}

fn read_audio(part: &mut Fields) -> Result<Media, TranslateError> {
    let mut audio = part.object("input_audio")?.ok_or_else(|| part.error("input_audio", "is required."))?;
    let data = audio.required_string("data")?;
    let media_type = media::of_format(&audio.required_string("format")?);
    Ok(Media { source: MediaSource::Base64(data), media_type: Some(media_type) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_one(part: Value) -> Result<Part, TranslateError> {
        read(Some(json!([part])), "c").map(|mut parts| parts.remove(0))
    }

    fn media(source: MediaSource, media_type: Option<&str>) -> Media {
        Media { source, media_type: media_type.map(Into::into) }
    }

    #[test]
    fn bytes_are_here_or_elsewhere() {
        use MediaSource::{Base64, FileId, Url};
        for (part, expected) in [
            (json!({"image_url": "data:image/png;base64,AA"}), media(Base64("AA".into()), Some("image/png"))),
            (json!({"image_url": "https://x/a"}), media(Url("https://x/a".into()), None)),
            (json!({"image_url": null, "file_id": "f"}), media(FileId("f".into()), None)),
        ] {
            let mut part = part;
            part["type"] = "input_image".into();
            assert_eq!(read_one(part).unwrap().content, Content::Image(expected));
        }
        for (part, expected) in [
            (json!({"file_data": "AA", "filename": "a.PDF"}), media(Base64("AA".into()), Some("application/pdf"))),
            (json!({"file_data": "data:text/csv;base64,AA"}), media(Base64("AA".into()), Some("text/csv"))),
            (json!({"file_url": "https://x/a"}), media(Url("https://x/a".into()), None)),
        ] {
            let mut part = part;
            part["type"] = "input_file".into();
            assert_eq!(read_one(part).unwrap().content, Content::File(expected));
        }
    }

    #[test]
    fn what_else_a_part_says_survives() {
        let part = json!({"type": "input_file", "file_id": "f", "filename": "a.txt", "detail": "high", "new": 1});

        let rest = read_one(part).unwrap().rest;

        assert_eq!(Value::from(rest), json!({"detail": "high", "filename": "a.txt", "new": 1}));
        let plain = json!({"type": "output_text", "text": "x", "annotations": [], "logprobs": null, "parsed": {}});
        assert!(read_one(plain).unwrap().rest.is_empty());
    }

    #[test]
    fn a_part_that_cannot_be_read_is_named() {
        for (part, place) in [
            (json!({"type": "input_image"}), "c[0].image_url"),
            (json!({"type": "input_image", "image_url": {"url": "x"}}), "c[0].image_url"),
            (json!({"type": "input_file", "filename": "x"}), "c[0].file_data"),
            (json!({"type": "input_audio"}), "c[0].input_audio"),
            (json!({"type": "input_audio", "input_audio": {"data": "AA"}}), "c[0].input_audio.format"),
            (json!({"type": "image_url"}), "c[0].type"),
            (json!({"text": "x"}), "c[0].type"),
            (json!("x"), "c[0]"),
        ] {
            assert_eq!(read_one(part).unwrap_err().param.as_deref(), Some(place));
        }
        assert_eq!(read(None, "c").unwrap_err().param.as_deref(), Some("c"));
    }
}
