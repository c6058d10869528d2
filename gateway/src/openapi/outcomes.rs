//! What operations may answer, as far as it is the same at all that are alike.

use utoipa::openapi::{Ref, RefOr, path::Operation};

/// What every operation that asks for credentials may answer besides its success.
const ERRORS: [(&str, &str); 9] = [
    ("400", "The request can't be served as it is; `param` names what is wrong."),
    ("401", "There are no credentials, or none that work."),
    ("403", "The credentials don't allow it."),
    ("404", "There is no such thing, or it belongs to somebody else."),
    ("429", "Too much for now; `retry-after` says when to come back."),
    ("431", "The headers are too large."),
    ("500", "Our fault."),
    ("503", "Not now; another try may succeed."),
    ("504", "It took too long."),
];
const OF_CHANGES: [(&str, &str); 1] =
    [("409", "It does not go with what is there, or a request with the same `Idempotency-Key` runs.")];
const OF_POSTS: [(&str, &str); 1] = [("422", "The `Idempotency-Key` was used for another request.")];
const OF_BODIES: [(&str, &str); 2] =
    [("413", "The body is too large."), ("415", "The body's content type is not one that is read here.")];
const OF_MODELS: [(&str, &str); 2] = [
    ("501", "The model's server does not have this feature."),
    ("502", "The model's server failed, or refused this platform."),
];

/// Says what a success means, which the specification wants to be said.
pub(super) fn describe_successes(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            response.description = success(status).to_owned();
        }
    }
}

fn success(status: &str) -> &'static str {
    match status {
        "201" => "It was made.",
        "206" => "A part of it.",
        "304" => "It has not changed.",
        "416" => "It has no such part.",
        _ => "It worked.",
    }
}

/// Adds the errors that such an operation may answer.
pub(super) fn add_errors(method: &str, operation: &mut Operation) {
    let tags = operation.tags.clone().unwrap_or_default();
    let asks_models = tags.iter().any(|tag| tag == "Inference" || tag == "Models");
    let groups: [(bool, &[(&str, &str)]); 5] = [
        (true, &ERRORS),
        (method != "get", &OF_CHANGES),
        (method == "post", &OF_POSTS),
        (operation.request_body.is_some(), &OF_BODIES),
        (asks_models, &OF_MODELS),
    ];
    for (status, description) in groups.into_iter().filter(|(fits, _)| *fits).flat_map(|(_, errors)| errors) {
        let response = Ref::builder()
            .ref_location("#/components/responses/Error".to_owned())
            .description(Some(*description))
            .build();
        operation.responses.responses.entry((*status).to_owned()).or_insert(RefOr::Ref(response));
    }
}
