//! The XML API: objects written, read, listed, copied and removed.

use crate::{
    answer::{self, Answer, checksum},
    json::generation,
    objects::{Object, Objects, Refused},
};
use bytes::Bytes;
use http::{Method, StatusCode, header, request::Parts};
use percent_encoding::percent_decode_str;
use std::{collections::BTreeSet, fmt::Write, ops::Range};

const PAGE: usize = 1_000;

pub(crate) fn respond(objects: &mut Objects, parts: &Parts, body: Bytes) -> Answer {
    let (bucket, name) = place(parts);
    if name.is_empty() {
        return list(objects, &bucket, parts);
    }
    match parts.method {
        Method::PUT => match text(parts, "x-goog-copy-source") {
            None => write(objects, &bucket, &name, parts, body),
            Some(source) => copy(objects, &bucket, &name, parts, source),
        },
        Method::GET | Method::HEAD => match objects.get(&bucket, &name) {
            Some(object) if generation(parts, "generation").is_none_or(|wanted| wanted == object.generation) => {
                read(object, parts)
            }
            _ => answer::refusal(Refused::NotFound),
        },
        Method::DELETE => match objects.delete(&bucket, &name) {
            Ok(()) => answer::whole(StatusCode::NO_CONTENT, ""),
            Err(refused) => answer::refusal(refused),
        },
        _ => answer::failure(StatusCode::NOT_IMPLEMENTED, "not here: multipart uploads know no preconditions"),
    }
}

/// Leaves a part of what was to be written.
pub(crate) fn tear(objects: &mut Objects, parts: &Parts, half: Bytes) {
    let (bucket, name) = place(parts);
    // A name that is taken stays as it is.
    if parts.method == Method::PUT && objects.get(&bucket, &name).is_none() {
        objects.put(&bucket, &name, half);
    }
}

fn place(parts: &Parts) -> (String, String) {
    let path = parts.uri.path().trim_start_matches('/');
    let (bucket, name) = path.split_once('/').unwrap_or((path, ""));
    (bucket.to_owned(), percent_decode_str(name).decode_utf8_lossy().into_owned())
}

fn write(objects: &mut Objects, bucket: &str, name: &str, parts: &Parts, body: Bytes) -> Answer {
    let sent = text(parts, "x-goog-hash").and_then(|hash| hash.strip_prefix("crc32c="));
    if sent.is_some_and(|sent| sent != checksum(&body)) {
        return answer::failure(StatusCode::BAD_REQUEST, "BadDigest");
    }
    written(objects.put_if(bucket, name, body, if_generation(parts)))
}

fn copy(objects: &mut Objects, bucket: &str, name: &str, parts: &Parts, source: &str) -> Answer {
    let source = percent_decode_str(source).decode_utf8_lossy();
    let found = source.split_once('/').and_then(|(bucket, name)| objects.get(bucket, name)).cloned();
    match found {
        Some(found) => written(objects.put_if(bucket, name, found.bytes, if_generation(parts))),
        None => answer::refusal(Refused::NotFound),
    }
}

fn written(outcome: Result<Object, Refused>) -> Answer {
    match outcome {
        Ok(object) => {
            let mut answer = answer::whole(StatusCode::OK, "");
            answer::describe(&mut answer, &object);
            answer
        }
        Err(refused) => answer::refusal(refused),
    }
}

fn read(object: &Object, parts: &Parts) -> Answer {
    let length = object.bytes.len();
    let wanted = text(parts, header::RANGE.as_str()).and_then(|range| to_range(range, length));
    let is_part = wanted.is_some();
    let range = wanted.unwrap_or(0..length);
    if is_part && range.is_empty() {
        return answer::failure(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
    }
    let status = if is_part { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut answer = answer::whole(status, object.bytes.slice(range.clone()));
    answer::describe(&mut answer, object);
    answer.headers_mut().insert(header::CONTENT_LENGTH, range.len().into());
    if is_part {
        let says = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        answer.headers_mut().insert(header::CONTENT_RANGE, says.parse().expect("plain ASCII"));
    }
    if parts.method == Method::HEAD {
        let mut head = answer::whole(StatusCode::OK, "");
        *head.headers_mut() = answer.headers().clone();
        return head;
    }
    answer
}

fn to_range(range: &str, length: usize) -> Option<Range<usize>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = last.parse::<usize>().map_or(length, |last| length.min(last + 1));
    Some(first.parse::<usize>().ok()?.min(end)..end)
}

fn list(objects: &Objects, bucket: &str, parts: &Parts) -> Answer {
    let query: Vec<_> = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).collect();
    let asked = |name: &str| query.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_ref());
    let prefix = asked("prefix").unwrap_or_default();
    let after = asked("continuation-token").or_else(|| asked("start-after")).unwrap_or_default();
    let mut page = String::new();
    let mut folders = BTreeSet::new();
    let mut last = None;
    let found = objects.of(bucket).filter(|(name, _)| name.starts_with(prefix) && *name > after);
    for (count, (name, object)) in found.enumerate() {
        if count == PAGE {
            break;
        }
        last = (count + 1 == PAGE).then_some(name);
        if asked("delimiter").is_some()
            && let Some((folder, _)) = name[prefix.len()..].split_once('/')
        {
            folders.insert(format!("{prefix}{folder}/"));
            continue;
        }
        let Object { bytes, generation, modified } = object;
        write!(
            page,
            "<Contents><Key>{name}</Key><Size>{}</Size><LastModified>{}</LastModified><ETag>\"{generation}\"</ETag></Contents>",
            bytes.len(),
            modified.to_rfc3339(),
        )
        .expect("a string takes everything");
    }
    let folders: String =
        folders.iter().map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>")).collect();
    let next = last.map(|name| format!("<NextContinuationToken>{name}</NextContinuationToken>")).unwrap_or_default();
    answer::whole(StatusCode::OK, format!("<ListBucketResult>{page}{folders}{next}</ListBucketResult>"))
}

fn if_generation(parts: &Parts) -> Option<u64> {
    text(parts, "x-goog-if-generation-match").and_then(|value| value.parse().ok())
}

fn text<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}
