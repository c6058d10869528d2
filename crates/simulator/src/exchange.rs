//! From a request for text to its answer, the same for both dialects: faults, checks, queue, stream or whole.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::future::join_all;
use http::HeaderMap;
use serde::Serialize;

use crate::{
    chat, completions, damage,
    faults::Fault,
    lane::{Lane, Script},
    refusal::Refusal,
    request::{Dialect, TextRequest},
    serve::Connection,
    simulator::{Simulator, Ticket, unix_seconds},
    stream,
};

/// What vLLM calls its own configuration.
pub(crate) const FINGERPRINT: &str = "vllm-0.32.0-51a7d3c0";

/// An accepted request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: TextRequest,
    pub(crate) fault: Fault,
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) ticket: Ticket,
}

/// A finished answer: `(index, script, text)` for each choice.
#[derive(Debug)]
pub(crate) struct Whole<'a> {
    pub(crate) id: &'a str,
    pub(crate) created: u64,
    pub(crate) model: &'a str,
    pub(crate) choices: Vec<(usize, &'a Script, String)>,
    pub(crate) usage: Usage,
}

/// Tokens of one request, in vLLM's order.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: usize,
    pub(crate) total_tokens: usize,
    pub(crate) completion_tokens: usize,
    prompt_tokens_details: Option<()>,
    completion_tokens_details: Option<()>,
}

impl Usage {
    pub(crate) fn new(prompt_tokens: usize, completion_tokens: usize) -> Self {
        let total_tokens = prompt_tokens + completion_tokens;
        Self { prompt_tokens, total_tokens, completion_tokens, ..Self::default() }
    }
}

/// Answers a request for text.
pub(crate) async fn respond(
    sim: Arc<Simulator>,
    dialect: Dialect,
    connection: Option<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let ticket = sim.open();
    let checked = async {
        let fault = sim.faults.of(&headers)?;
        damage::strike(&fault, connection).await?;
        let request = TextRequest::parse(dialect, &body, &sim.settings)?;
        Ok::<_, Refusal>((request, fault))
    };
    let (request, fault) = match checked.await {
        Ok(checked) => checked,
        Err(refusal) => return refuse(ticket, &refusal),
    };
    let prefix = if dialect == Dialect::Chat { "chatcmpl" } else { "cmpl" };
    let id = sim.answer_id(prefix, &headers);
    match sim.lanes(&request) {
        Ok(lanes) => {
            let call = Call { request, fault, id, created: unix_seconds(), ticket };
            if call.request.stream { stream::respond(call, lanes) } else { answer_whole(call, lanes).await }
        }
        // vLLM has opened the stream before it asks the engine, so the refusal comes inside a 200.
        Err(refusal) if request.stream => {
            ticket.fail();
            stream::refuse(&refusal)
        }
        Err(refusal) => refuse(ticket, &refusal),
    }
}

/// Counts the request as failed and answers why.
pub(crate) fn refuse(ticket: Ticket, refusal: &Refusal) -> Response {
    ticket.fail();
    refusal.clone().into_response()
}

async fn answer_whole(call: Call, mut lanes: Vec<Lane>) -> Response {
    if call.fault.error.is_some() {
        return refuse(call.ticket, &Refusal::engine_dead());
    }
    let texts = join_all(lanes.iter_mut().map(Lane::run)).await;
    if call.fault.stall.is_some() {
        std::future::pending::<()>().await;
    }
    let scripts = lanes.iter().map(|lane| (lane.index, &lane.script));
    let answer = Whole {
        id: &call.id,
        created: call.created,
        model: &call.request.model,
        choices: scripts.zip(texts).map(|((index, script), text)| (index, script, text)).collect(),
        usage: Usage::new(prompt_tokens(&call.request), lanes.iter().map(|lane| lane.script.length).sum()),
    };
    let body = match call.request.dialect {
        Dialect::Chat => chat::whole(&answer),
        Dialect::Completions => completions::whole(&answer),
    };
    drop(lanes);
    damage::whole(&body, &call.fault, call.ticket)
}

/// A prompt counts once, however many choices are made of it.
pub(crate) fn prompt_tokens(request: &TextRequest) -> usize {
    request.prompts.iter().map(|prompt| prompt.tokens).sum()
}
