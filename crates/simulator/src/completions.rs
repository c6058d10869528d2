//! The older text dialect: `POST /v1/completions` and its shapes.

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

/// `POST /v1/completions`
pub(crate) async fn create(
    State(sim): State<Arc<Simulator>>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    exchange::respond(sim, Dialect::Completions, connection.map(|c| c.0), headers, body).await
}

/// A token's choice; the last one carries the finish reason.
pub(crate) fn token_choice(token: &Token, script: &Script) -> String {
    let (index, text) = (token.index, token.text);
    let (finish, stop) = if token.is_last {
        (format!("\"{}\"", script.finish), json!(script.stop_reason))
    } else {
        ("null".to_owned(), Value::Null)
    };
    format!(
        r#"{{"index":{index},"text":"{text}","logprobs":null,"finish_reason":{finish},"stop_reason":{stop},"prompt_token_ids":null,"token_ids":null}}"#
    )
}

/// A whole answer.
pub(crate) fn whole(answer: &Whole<'_>) -> Value {
    let choices = answer.choices.iter().map(|(index, script, text)| {
        json!({
            "index": index, "text": text, "logprobs": null, "finish_reason": script.finish,
            "stop_reason": script.stop_reason, "token_ids": null, "prompt_logprobs": null, "prompt_token_ids": null,
            "routed_experts": null,
        })
    });
    json!({
        "id": answer.id, "object": "text_completion", "created": answer.created, "model": answer.model,
        "choices": choices.collect::<Vec<_>>(),
        "service_tier": null, "system_fingerprint": FINGERPRINT, "usage": answer.usage, "kv_transfer_params": null,
        "ec_transfer_params": null, "metrics": null,
    })
}
