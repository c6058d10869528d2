//! Images, sound and files as parts. Google wants to know what bytes are before it reads them, so `mimeType` always
//! comes first.

use super::PROVIDER;
use crate::{
    fields::must_be,
    media,
    pivot::{Media, MediaSource, TranslateError},
};
use serde_json::{Value, json};

/// Writes a media part; `param` names it to the caller.
pub(super) fn write(media: &Media, param: &str) -> Result<Value, TranslateError> {
    match &media.source {
        MediaSource::Base64(data) => {
            let media_type = media.media_type.as_deref().ok_or_else(|| unknown_type(param))?;
            Ok(inline(media_type, data))
        }
        MediaSource::Url(url) => write_url(url, media.media_type.as_deref(), param),
        // Files stored with another provider; Google's are addressed by URL.
        MediaSource::FileId(_) => Err(TranslateError::unsupported(param, PROVIDER)),
    }
}

fn write_url(url: &str, media_type: Option<&str>, param: &str) -> Result<Value, TranslateError> {
    if let Some((told, data)) = media::split_data_url(url) {
        let media_type = media::without_parameters(told).or(media_type).ok_or_else(|| unknown_type(param))?;
        return Ok(inline(media_type, data));
    }
    if url.starts_with("data:") {
        return Err(must_be(param, "a data URL in base64"));
    }
    if !["https://", "http://", "gs://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(must_be(param, "a `data:`, `https:` or `gs:` URL"));
    }
    let media_type = media_type.or_else(|| type_of_path(url)).ok_or_else(|| unknown_type(param))?;
    Ok(json!({ "fileData": { "mimeType": media_type, "fileUri": url } }))
}

fn inline(media_type: &str, data: &str) -> Value {
    json!({ "inlineData": { "mimeType": media_type, "data": data } })
}

fn unknown_type(param: &str) -> TranslateError {
    let message = format!(
        "The media type of `{param}` is unknown, and {PROVIDER} needs it: use a data URL, or a URL whose path ends in \
         an extension as `.png`."
    );
    TranslateError::invalid(param, message)
}

fn type_of_path(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "txt" | "md" => "text/plain",
        "html" => "text/html",
        "csv" => "text/csv",
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "m4a" => "audio/m4a",
        "mp4" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "mpg" | "mpeg" => "video/mpeg",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_at(url: &str, media_type: Option<&str>) -> Result<String, String> {
        let media = Media { source: MediaSource::Url(url.into()), media_type: media_type.map(Into::into) };
        write(&media, "messages[0].content[1]").map(|part| part.to_string()).map_err(|error| error.message)
    }

    #[test]
    fn the_type_comes_before_the_bytes() {
        let media = Media { source: MediaSource::Base64("AAAA".into()), media_type: Some("image/png".into()) };

        let part = write(&media, "p").unwrap().to_string();

        assert_eq!(part, r#"{"inlineData":{"mimeType":"image/png","data":"AAAA"}}"#);
        assert_eq!(write_at("data:image/png;base64,AAAA", None).unwrap(), part);
        assert_eq!(write_at("data:image/png;x=y;base64,AAAA", Some("text/plain")).unwrap(), part);
        assert_eq!(write_at("data:;base64,AAAA", Some("image/png")).unwrap(), part);
    }

    #[test]
    fn the_type_of_an_address_is_told_or_follows_from_its_path() {
        for (url, told, expected) in [
            ("https://example.com/a.b/cat.PNG?size=1.5#x", None, "image/png"),
            ("gs://bucket/report", Some("application/pdf"), "application/pdf"),
            ("gs://bucket/report.pdf", None, "application/pdf"),
        ] {
            let part = write_at(url, told).unwrap();

            assert_eq!(part, format!(r#"{{"fileData":{{"mimeType":"{expected}","fileUri":"{url}"}}}}"#));
        }
    }

    #[test]
    fn what_google_cannot_take_is_refused() {
        for url in ["https://example.com/cat", "ftp://example.com/cat.png", "data:image/png,AAAA", "data:;base64,AAAA"]
        {
            let message = write_at(url, None).unwrap_err();

            assert!(message.contains("messages[0].content[1]"), "{message}");
        }
        let stored = Media { source: MediaSource::FileId("file-1".into()), media_type: None };
        assert!(write(&stored, "p").unwrap_err().message.contains("Vertex AI"));
    }
}
