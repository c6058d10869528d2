//! Whole answers.

use super::{
    error::read_error,
    response::{Candidate, FunctionCall, LogprobsResult, Response, ResponsePart, read_finish, unreadable},
};
use crate::pivot::{Answer, Choice, Content, Finish, Media, MediaSource, Part, ToolCall, TranslateError};
use serde_json::{Map, Value};

/// Reads the answer of `:generateContent`. A prompt that was blocked is one empty choice cut by a filter.
///
/// # Errors
/// When it is not what the dialect says it must be.
pub fn read_answer(body: &[u8]) -> Result<Answer, TranslateError> {
    if let Some(failure) = read_error(body) {
        return Err(unreadable(&format!("it is an error, {} {}", failure.status, failure.message)));
    }
    let mut response = Response::read(body)?;
    let id = response.response_id.clone().unwrap_or_default();
    let mut choices: Vec<_> = response
        .take_candidates()
        .into_iter()
        .map(|candidate| read_candidate(candidate, &id))
        .collect::<Result<_, _>>()?;
    if choices.is_empty() {
        if !response.is_blocked() {
            return Err(unreadable("it has no candidates"));
        }
        choices.push(Choice { finish: Some(Finish::ContentFilter), ..Choice::default() });
    }
    Ok(Answer {
        created: response.created(),
        model: response.model_version.unwrap_or_default(),
        usage: response.usage_metadata.and_then(|usage| usage.read()),
        rest: response.rest,
        id,
        choices,
    })
}

fn read_candidate(mut candidate: Candidate, response_id: &str) -> Result<Choice, TranslateError> {
    let index = candidate.index();
    let mut parts = Vec::new();
    let mut calls = 0;
    for part in candidate.take_parts() {
        let is_call = part.function_call.is_some();
        parts.extend(read_part(part, |call| call.id(response_id, index, calls))?);
        calls += u64::from(is_call);
    }
    Ok(Choice {
        index,
        parts,
        finish: candidate.finish_reason.as_deref().and_then(|reason| read_finish(reason, calls > 0)),
        logprobs: candidate.logprobs_result.map(LogprobsResult::write),
        rest: candidate.rest,
    })
}

fn read_part(part: ResponsePart, id: impl FnOnce(&FunctionCall) -> String) -> Result<Option<Part>, TranslateError> {
    let ResponsePart { text, thought, thought_signature: signature, function_call, inline_data, mut rest } = part;
    let content = if let Some(mut call) = function_call {
        Content::ToolCall(ToolCall { id: id(&call), arguments: call.arguments()?, name: call.name, signature })
    } else if let Some(text) = text {
        if thought == Some(true) {
            Content::Thinking { text, signature }
        } else if text.is_empty() {
            // At most a signature, which Gemini does not insist on getting back here.
            return Ok(None);
        } else {
            keep(&mut rest, "thoughtSignature", signature);
            Content::Text(text)
        }
    } else if let Some(data) = inline_data {
        keep(&mut rest, "thoughtSignature", signature);
        media_content(Media { source: MediaSource::Base64(data.data), media_type: data.mime_type })
    } else if rest.is_empty() {
        return Ok(None);
    } else {
        keep(&mut rest, "thoughtSignature", signature);
        return Ok(Some(Part::new(Content::Other(rest.into()))));
    };
    Ok(Some(Part { content, rest }))
}

fn keep(rest: &mut Map<String, Value>, name: &str, value: Option<String>) {
    if let Some(value) = value {
        rest.insert(name.into(), value.into());
    }
}

fn media_content(media: Media) -> Content {
    let family = media.media_type.as_deref().and_then(|media_type| media_type.split('/').next());
    match family {
        Some("image") => Content::Image(media),
        Some("audio") => Content::Audio(media),
        _ => Content::File(media),
    }
}
