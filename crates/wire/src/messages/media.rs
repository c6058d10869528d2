//! The `source` of images and documents.

use crate::{
    fields::{Fields, must_be},
    media,
    pivot::{Media, MediaSource, TranslateError},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Whether a source is of a kind that [`read`] knows.
pub(super) fn is_known(source: &Value) -> bool {
    matches!(source["type"].as_str(), Some("base64" | "url" | "file" | "text"))
}

/// Reads a source.
pub(super) fn read(mut source: Fields) -> Result<Media, TranslateError> {
    let media_type = source.string("media_type")?;
    let kind = source.required_string("type")?;
    let (source, media_type) = match kind.as_str() {
        "url" => (MediaSource::Url(source.required_string("url")?), media_type),
        "file" => (MediaSource::FileId(source.required_string("file_id")?), media_type),
        "text" => {
            let text = source.required_string("data")?;
            (MediaSource::Base64(STANDARD.encode(text)), Some(media_type.unwrap_or_else(|| "text/plain".into())))
        }
        _ => (MediaSource::Base64(source.required_string("data")?), media_type),
    };
    Ok(Media { source, media_type })
}

/// Writes an image of a request.
pub(super) fn write_image(media: &Media, place: &str) -> Result<Value, TranslateError> {
    let (source, media_type) = resolve(media);
    Ok(match source {
        Source::Inline(data) => {
            let media_type = media_type.ok_or_else(|| must_be(place, "a data URL that tells its media type"))?;
            base64(if media_type == "image/jpg" { "image/jpeg" } else { media_type }, data)
        }
        Source::Url(url) => write_url(url, place)?,
        Source::File(id) => file(id),
    })
}

/// Writes a document of a request. Bytes must be a PDF or text, which Anthropic wants as text.
pub(super) fn write_document(media: &Media, place: &str) -> Result<Value, TranslateError> {
    let (source, media_type) = resolve(media);
    Ok(match source {
        Source::Inline(data) if media_type.is_some_and(is_text) => {
            let text = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.ok_or_else(|| must_be(place, "UTF-8 text in base64, as its media type says"))?;
            json!({ "type": "text", "media_type": "text/plain", "data": text })
        }
        Source::Inline(data) => base64(media_type.unwrap_or("application/pdf"), data),
        Source::Url(url) => write_url(url, place)?,
        Source::File(id) => file(id),
    })
}

/// Writes what a model made, which may be anything.
pub(super) fn write_made(media: &Media) -> Value {
    let (source, media_type) = resolve(media);
    match source {
        Source::Inline(data) => base64(media_type.unwrap_or("application/octet-stream"), data),
        Source::Url(url) => json!({ "type": "url", "url": url }),
        Source::File(id) => file(id),
    }
}

/// Whether a file is in truth an image.
pub(super) fn is_image(media: &Media) -> bool {
    resolve(media).1.is_some_and(|media_type| media_type.starts_with("image/"))
}

enum Source<'a> {
    Inline(&'a str),
    Url(&'a str),
    File(&'a str),
}

/// A data URL is bytes, and knows best what they are.
fn resolve(media: &Media) -> (Source<'_>, Option<&str>) {
    let told = media.media_type.as_deref();
    match &media.source {
        MediaSource::Base64(data) => (Source::Inline(data), told),
        MediaSource::FileId(id) => (Source::File(id), told),
        MediaSource::Url(url) => match media::split_data_url(url) {
            Some((kind, data)) => (Source::Inline(data), media::without_parameters(kind).or(told)),
            None => (Source::Url(url), told),
        },
    }
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/") || media_type == "application/json"
}

fn base64(media_type: &str, data: &str) -> Value {
    json!({ "type": "base64", "media_type": media_type, "data": data })
}

fn file(id: &str) -> Value {
    json!({ "type": "file", "file_id": id })
}

fn write_url(url: &str, place: &str) -> Result<Value, TranslateError> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(json!({ "type": "url", "url": url }));
    }
    Err(must_be(place, "a data URL in base64 or an `https:` URL with this model, which is served by Anthropic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(source: MediaSource, media_type: Option<&str>) -> Media {
        Media { source, media_type: media_type.map(Into::into) }
    }

    #[test]
    fn a_source_comes_back_as_it_was() {
        for source in [
            json!({"type": "base64", "media_type": "application/pdf", "data": "AA=="}),
            json!({"type": "url", "url": "https://example.com/a"}),
            json!({"type": "file", "file_id": "file_1"}),
            json!({"type": "text", "media_type": "text/plain", "data": "Grüße"}),
        ] {
            assert!(is_known(&source));
            let media = read(Fields::new(source.clone(), "s").unwrap()).unwrap();

            assert_eq!(write_document(&media, "p").unwrap(), source);
        }
        assert!(!is_known(&json!({"type": "content", "content": []})));
    }

    #[test]
    fn a_data_url_is_bytes() {
        let image = media(MediaSource::Url("data:image/jpg;base64,AA".into()), None);

        assert!(is_image(&image));
        assert_eq!(write_image(&image, "p").unwrap(), base64("image/jpeg", "AA"));
    }

    #[test]
    fn what_anthropic_cannot_take_is_refused_by_its_place() {
        for error in [
            write_image(&media(MediaSource::Base64("AA".into()), None), "p").unwrap_err(),
            write_image(&media(MediaSource::Url("gs://bucket/cat.png".into()), None), "p").unwrap_err(),
            write_document(&media(MediaSource::Base64("/w==".into()), Some("text/csv")), "p").unwrap_err(),
        ] {
            assert_eq!(error.param.as_deref(), Some("p"));
        }
    }
}
