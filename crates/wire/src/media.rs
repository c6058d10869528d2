//! Bytes inside a message, as the dialects name them alike: addresses, data URLs for what is here, and the formats of
//! sound.

use crate::pivot::{Media, MediaSource};

/// What a data URL in base64 holds: the media type with its parameters, maybe empty, and the data.
pub(crate) fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    Some((head.strip_suffix(";base64")?, data))
}

/// A media type without its parameters; none if nothing is left.
pub(crate) fn without_parameters(media_type: &str) -> Option<&str> {
    media_type.split(';').next().filter(|kind| !kind.is_empty())
}

/// Reads an address, which may hold the bytes itself.
pub(crate) fn of_url(url: String) -> Media {
    match split_data_url(&url) {
        Some((media_type, data)) => Media {
            source: MediaSource::Base64(data.to_owned()),
            media_type: Some(media_type.to_owned()).filter(|media_type| !media_type.is_empty()),
        },
        None => Media { source: MediaSource::Url(url), media_type: None },
    }
}

/// Writes an address, if it has one.
pub(crate) fn to_url(media: &Media) -> Option<String> {
    match &media.source {
        MediaSource::Base64(data) => {
            Some(format!("data:{};base64,{data}", media.media_type.as_deref().unwrap_or_default()))
        }
        MediaSource::Url(url) => Some(url.clone()),
        MediaSource::FileId(_) => None,
    }
}

/// Reads the data of a file: a data URL, or bare base64, of which only the name may tell what it is.
pub(crate) fn of_file_data(data: String, filename: Option<&str>) -> Media {
    if data.starts_with("data:") {
        return of_url(data);
    }
    let is_pdf = filename.is_some_and(|name| name.to_ascii_lowercase().ends_with(".pdf"));
    Media { source: MediaSource::Base64(data), media_type: is_pdf.then(|| "application/pdf".to_owned()) }
}

/// The media type of an audio `format`.
pub(crate) fn of_format(format: &str) -> String {
    match format {
        "mp3" => "audio/mpeg".to_owned(),
        format => format!("audio/{format}"),
    }
}

/// The audio `format` of a media type.
pub(crate) fn to_format(media_type: &str) -> Option<&str> {
    match media_type.strip_prefix("audio/")? {
        "mpeg" => Some("mp3"),
        "x-wav" | "wave" | "vnd.wave" => Some("wav"),
        format => Some(format),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_here_are_a_data_url() {
        for url in ["data:image/png;base64,AA", "data:;base64,AA", "https://x/a", "gs://b/a", "data:text/plain,x"] {
            assert_eq!(to_url(&of_url(url.into())).as_deref(), Some(url));
        }
        let media = of_url("data:image/png;base64,AA".into());
        assert_eq!(media.source, MediaSource::Base64("AA".into()));
        assert_eq!(media.media_type.as_deref(), Some("image/png"));
    }

    #[test]
    fn a_data_url_has_a_type_and_data() {
        assert_eq!(split_data_url("data:text/csv;charset=utf-8;base64,AA"), Some(("text/csv;charset=utf-8", "AA")));
        assert_eq!(split_data_url("data:;base64,AA"), Some(("", "AA")));
        for url in ["data:text/plain,x;base64,AA", "data:image/png;base64", "https://x/;base64,AA"] {
            assert_eq!(split_data_url(url), None, "{url}");
        }
        assert_eq!(without_parameters("text/csv;charset=utf-8"), Some("text/csv"));
        assert_eq!(without_parameters(";x=y"), None);
    }

    #[test]
    fn the_data_of_a_file_may_be_bare() {
        let kind = |data: &str, filename| of_file_data(data.into(), filename).media_type;

        assert_eq!(kind("AA", Some("a.PDF")).as_deref(), Some("application/pdf"));
        assert_eq!(kind("AA", Some("a.txt")), None);
        assert_eq!(kind("data:text/csv;base64,AA", Some("a.pdf")).as_deref(), Some("text/csv"));
    }

    #[test]
    fn formats_are_media_types() {
        for format in ["mp3", "wav", "flac"] {
            assert_eq!(to_format(&of_format(format)), Some(format));
        }
        assert_eq!(to_format("audio/x-wav"), Some("wav"));
        assert_eq!(to_format("video/mp4"), None);
    }
}
