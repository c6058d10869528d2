//! The chat dialect: `POST /v1/chat/completions` and its shapes.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    exchange::{self, FINGERPRINT, Whole},
    lane::{Script, Token},
    request::Dialect,
    serve::Connection,
    simulator::Simulator,
};

/// `POST /v1/chat/completions`
pub(crate) async fn create(
    State(sim): State<Arc<Simulator>>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    exchange::respond(sim, Dialect::Chat, connection.map(|c| c.0), headers, body).await
}

/// The first chunk's choice.
pub(crate) fn role_choice(index: usize) -> String {
    format!(r#"{{"index":{index},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}"#)
}

/// A token's choice; the last one carries the finish reason.
pub(crate) fn token_choice(token: &Token, script: &Script) -> String {
    let (index, text) = (token.index, token.text);
    let finish = if token.is_last {
        format!(r#""{}","stop_reason":{}"#, script.finish, json!(script.stop_reason))
    } else {
        "null".to_owned()
    };
    format!(
        r#"{{"index":{index},"delta":{{"content":"{text}"}},"logprobs":null,"finish_reason":{finish},"token_ids":null}}"#
    )
}

/// A whole answer.
pub(crate) fn whole(answer: &Whole<'_>) -> Value {
    let choices = answer.choices.iter().map(|(index, script, text)| {
        json!({
            "index": index,
            "message": {
                "role": "assistant", "content": text, "refusal": null, "annotations": null, "audio": null,
                "function_call": null, "reasoning": null,
            },
            "logprobs": null, "finish_reason": script.finish, "stop_reason": script.stop_reason, "token_ids": null,
            "routed_experts": null,
        })
    });
    json!({
        "id": answer.id, "object": "chat.completion", "created": answer.created, "model": answer.model,
        "choices": choices.collect::<Vec<_>>(),
        "service_tier": null, "system_fingerprint": FINGERPRINT, "usage": answer.usage,
        "prompt_logprobs": null, "prompt_token_ids": null, "prompt_text": null, "kv_transfer_params": null,
        "ec_transfer_params": null, "metrics": null,
    })
}
