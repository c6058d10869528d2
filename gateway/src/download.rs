//! The content of a file as a response: whole, in part (`Range`), or "you have it already" (`If-None-Match`).

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use domain::{Error, Kind, Result};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
        RANGE,
    },
};
use std::ops::Range;
use store::{Blobs, FileRow};

/// What a request asks of a file.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    /// A range that begins beyond the end.
    Impossible,
}

/// Opens the blob and answers. Files never change, so the id is a strong `ETag`.
pub(crate) async fn respond(blobs: &Blobs, file: &FileRow, request: &HeaderMap) -> Result<Response> {
    let etag = format!("\"{}\"", file.id);
    if text(request, IF_NONE_MATCH).is_some_and(|given| matches_etag(given, &etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let bytes = file.bytes as u64;
    let is_current = text(request, IF_RANGE).is_none_or(|given| given == etag);
    match text(request, RANGE).filter(|_| is_current).map_or(Wanted::Whole, |range| judge(range, bytes)) {
        Wanted::Whole => open(blobs, file, &etag, 0..bytes, StatusCode::OK).await,
        Wanted::Part(range) => open(blobs, file, &etag, range, StatusCode::PARTIAL_CONTENT).await,
        Wanted::Impossible => Ok(refuse_range(bytes)),
    }
}

async fn open(blobs: &Blobs, file: &FileRow, etag: &str, range: Range<u64>, status: StatusCode) -> Result<Response> {
    let bytes = file.bytes as u64;
    let is_whole = status == StatusCode::OK;
    let length = range.end - range.start;
    let content_range = format!("bytes {}-{}/{bytes}", range.start, range.end.saturating_sub(1));
    let body = if length == 0 {
        Body::empty()
    } else {
        Body::from_stream(blobs.stream(&file.blob, (!is_whole).then_some(range)).await.map_err(ours)?)
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(file)));
    set(headers, ETAG, etag)?;
    set(headers, CONTENT_DISPOSITION, &disposition(&file.filename))?;
    if !is_whole {
        set(headers, CONTENT_RANGE, &content_range)?;
    }
    Ok(response)
}

/// The row is there, so a missing blob is our fault and no 404.
fn ours(error: Error) -> Error {
    if error.kind() == Kind::NotFound { Error::internal(error) } else { error }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<()> {
    headers.insert(name, HeaderValue::from_str(value).map_err(Error::internal)?);
    Ok(())
}

fn refuse_range(bytes: u64) -> Response {
    let error = Error::invalid(format!("The file has {bytes} bytes; the `Range` asked for begins after its end."));
    let body = axum::Json(chassis::error_body(&error));
    (StatusCode::RANGE_NOT_SATISFIABLE, [(CONTENT_RANGE, format!("bytes */{bytes}"))], body).into_response()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn matches_etag(given: &str, etag: &str) -> bool {
    given.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == etag)
}

fn content_type(file: &FileRow) -> &'static str {
    let is_jsonl = file.filename.ends_with(".jsonl") || file.purpose.starts_with("batch");
    if is_jsonl { "application/jsonl" } else { "application/octet-stream" }
}

/// An attachment; names beyond plain ASCII travel as RFC 5987 asks, next to a plain approximation.
fn disposition(filename: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\') || c == ' ';
    let plain: String = filename.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if plain == filename {
        return format!("attachment; filename=\"{plain}\"");
    }
    let encoded: String = filename.bytes().map(encode).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

fn encode(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// Reads a `Range` header. Several ranges, other units and nonsense mean the whole file, as RFC 9110 allows.
fn judge(header: &str, bytes: u64) -> Wanted {
    let Some((first, last)) = header.trim().strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Wanted::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..bytes.min(last.saturating_add(1)),
        (Ok(first), Err(_)) if last.is_empty() => first..bytes,
        (Err(_), Ok(suffix)) if first.is_empty() => bytes.saturating_sub(suffix)..bytes,
        _ => return Wanted::Whole,
    };
    if range.start < range.end { Wanted::Part(range) } else { Wanted::Impossible }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_file() {
        for (header, wanted) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("bytes=2-", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-99", 0..10),
            ("bytes=9-18446744073709551615", 9..10),
        ] {
            assert_eq!(judge(header, 10), Wanted::Part(wanted), "{header}");
        }
    }

    #[test]
    fn ranges_beyond_the_end_are_impossible() {
        for header in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert_eq!(judge(header, 10), Wanted::Impossible, "{header}");
        }
    }

    #[test]
    fn anything_else_means_the_whole_file() {
        for header in ["", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b"] {
            assert_eq!(judge(header, 10), Wanted::Whole, "{header}");
        }
    }

    #[test]
    fn a_file_name_can_not_break_out_of_its_header() {
        let header = disposition("a\"b\r\nSet-Cookie: é.jsonl");

        assert!(HeaderValue::from_str(&header).is_ok());
        assert!(header.contains("filename=\"a_b__Set-Cookie: _.jsonl\""), "{header}");
        assert!(header.ends_with("filename*=UTF-8''a%22b%0D%0ASet-Cookie%3A%20%C3%A9.jsonl"), "{header}");
    }
}
