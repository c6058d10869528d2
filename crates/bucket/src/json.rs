//! The JSON API: what is known of an object, and compose.

use crate::{
    answer::{self, Answer, checksum},
    objects::{Object, Objects, Refused},
};
use http::{Method, StatusCode, request::Parts};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;

pub(crate) const ROOT: &str = "/storage/v1/b/";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Compose {
    source_objects: Vec<SourceObject>,
}

#[derive(Deserialize)]
struct SourceObject {
    name: String,
}

pub(crate) fn respond(objects: &mut Objects, parts: &Parts, body: &[u8]) -> Answer {
    let path = parts.uri.path().trim_start_matches(ROOT);
    let Some((bucket, rest)) = path.split_once("/o/") else {
        return answer::failure(StatusCode::NOT_IMPLEMENTED, "objects only");
    };
    // Slashes in a name are encoded, so what follows one is the verb.
    let (name, verb) = rest.split_once('/').map_or((rest, None), |(name, verb)| (name, Some(verb)));
    let name = percent_decode_str(name).decode_utf8_lossy();
    match (&parts.method, verb) {
        (&Method::GET, None) => match objects.get(bucket, &name) {
            Some(object) => resource(bucket, &name, object),
            None => answer::refusal(Refused::NotFound),
        },
        (&Method::POST, Some("compose")) => {
            let Ok(asked) = serde_json::from_slice::<Compose>(body) else {
                return answer::failure(StatusCode::BAD_REQUEST, "no compose request");
            };
            let sources: Vec<_> = asked.source_objects.into_iter().map(|source| source.name).collect();
            match objects.compose(bucket, &name, &sources, generation(parts, "ifGenerationMatch")) {
                Ok(object) => resource(bucket, &name, &object),
                Err(refused) => answer::refusal(refused),
            }
        }
        _ => answer::failure(StatusCode::NOT_IMPLEMENTED, "not here"),
    }
}

fn resource(bucket: &str, name: &str, object: &Object) -> Answer {
    let says = json!({
        "kind": "storage#object",
        "bucket": bucket,
        "name": name,
        "generation": object.generation.to_string(),
        "size": object.bytes.len().to_string(),
        "crc32c": checksum(&object.bytes),
    });
    answer::whole(StatusCode::OK, says.to_string())
}

/// A number in the query.
pub(crate) fn generation(parts: &Parts, name: &str) -> Option<u64> {
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    query.filter(|(of, _)| of == name).find_map(|(_, value)| value.parse().ok())
}
