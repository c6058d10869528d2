//! Streamed answers: vLLM's chunks, in its order, and the faults that strike between two of them.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream::select_all};
use http::header;
use serde_json::json;

use crate::{
    chat, completions, damage,
    exchange::{Call, FINGERPRINT, Usage, prompt_tokens},
    faults::Fault,
    lane::{Lane, Script, Token},
    refusal::Refusal,
    request::Dialect,
};

const DONE: &str = "data: [DONE]\n\n";

/// What a fault does at one point of a stream.
enum Strike {
    Nothing,
    Cut,
    Stall,
    Die,
    Garble,
}

/// The constant parts of one stream's chunks.
struct Shape {
    dialect: Dialect,
    /// Everything up to the choices.
    opening: String,
    prompt_tokens: usize,
    include_usage: bool,
    continuous_usage: bool,
}

/// The answer as a stream of events.
pub(crate) fn respond(call: Call, lanes: Vec<Lane>) -> Response {
    let pause = call.fault.slow_bytes;
    let events = events(call, lanes);
    event_stream(match pause {
        Some(pause) => Body::from_stream(damage::drip(events, pause)),
        None => Body::from_stream(events),
    })
}

/// A refusal that comes after the status.
pub(crate) fn refuse(refusal: &Refusal) -> Response {
    event_stream(Body::from(refusal.event() + DONE))
}

fn event_stream(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response()
}

fn events(call: Call, lanes: Vec<Lane>) -> impl Stream<Item = damage::Piece> + Send + 'static {
    let shape = Shape::new(&call);
    let scripts: Vec<Script> = lanes.iter().map(|lane| lane.script.clone()).collect();
    let completion_tokens = scripts.iter().map(|script| script.length).sum();
    let mut tokens = select_all(lanes.into_iter().map(|lane| Box::pin(lane.into_tokens())));
    async_stream::stream! {
        let (fault, ticket) = (call.fault, call.ticket);
        let mut sent = 0;
        loop {
            let token = tokens.next().await;
            match Strike::at(&fault, sent, token.is_none()) {
                Strike::Cut => {
                    ticket.fail();
                    yield damage::cut().await;
                    return;
                }
                Strike::Stall => std::future::pending::<()>().await,
                Strike::Die => {
                    ticket.fail();
                    yield Ok(Bytes::from(Refusal::engine_dead().event() + DONE));
                    return;
                }
                strike => {
                    let Some(token) = token else { break };
                    if sent == 0 {
                        for index in 0..scripts.len() {
                            if let Some(chunk) = shape.role(index) {
                                yield Ok(chunk);
                            }
                        }
                    }
                    let is_garbled = matches!(strike, Strike::Garble);
                    yield Ok(if is_garbled { shape.garbled() } else { shape.token(&token, &scripts[token.index]) });
                    sent += 1;
                }
            }
        }
        if shape.include_usage {
            yield Ok(shape.usage(completion_tokens));
        }
        if fault.no_done || fault.malformed.is_some() {
            ticket.fail();
        } else {
            ticket.complete();
        }
        if !fault.no_done {
            yield Ok(Bytes::from_static(DONE.as_bytes()));
        }
    }
}

impl Strike {
    /// What happens after `sent` tokens; a fault that lies beyond the end strikes at the end.
    fn at(fault: &Fault, sent: usize, is_end: bool) -> Self {
        let strikes = |point: Option<usize>| point.is_some_and(|point| point == sent || (is_end && point > sent));
        if strikes(fault.cut) {
            Self::Cut
        } else if strikes(fault.stall) {
            Self::Stall
        } else if strikes(fault.error) {
            Self::Die
        } else if strikes(fault.malformed) {
            Self::Garble
        } else {
            Self::Nothing
        }
    }
}

impl Shape {
    fn new(call: &Call) -> Self {
        let request = &call.request;
        let object = if request.dialect == Dialect::Chat { "chat.completion.chunk" } else { "text_completion" };
        let (id, model, created) = (json!(call.id), json!(request.model), call.created);
        Self {
            dialect: request.dialect,
            opening: format!(
                r#"data: {{"id":{id},"object":"{object}","created":{created},"model":{model},"choices":["#
            ),
            prompt_tokens: prompt_tokens(request),
            include_usage: request.include_usage,
            continuous_usage: request.continuous_usage,
        }
    }

    fn role(&self, index: usize) -> Option<Bytes> {
        if self.dialect == Dialect::Completions {
            return None;
        }
        let more = format!(r#"{},"prompt_token_ids":null,"prompt_text":null"#, self.running_usage(0));
        Some(self.chunk(&chat::role_choice(index), &more))
    }

    fn token(&self, token: &Token, script: &Script) -> Bytes {
        let choice = match self.dialect {
            Dialect::Chat => chat::token_choice(token, script),
            Dialect::Completions => completions::token_choice(token, script),
        };
        let mut more = self.running_usage(token.number);
        if token.is_last && !self.include_usage {
            more.push_str(&fingerprint());
        }
        self.chunk(&choice, &more)
    }

    fn usage(&self, completion_tokens: usize) -> Bytes {
        let usage = Usage::new(self.prompt_tokens, completion_tokens);
        let (prompt, total, completion) = (usage.prompt_tokens, usage.total_tokens, usage.completion_tokens);
        let more = format!(
            r#","usage":{{"prompt_tokens":{prompt},"total_tokens":{total},"completion_tokens":{completion}}}{}"#,
            fingerprint()
        );
        self.chunk("", &more)
    }

    fn running_usage(&self, completion: usize) -> String {
        if !self.continuous_usage {
            return String::new();
        }
        let (prompt, total) = (self.prompt_tokens, self.prompt_tokens + completion);
        format!(
            r#","usage":{{"prompt_tokens":{prompt},"total_tokens":{total},"completion_tokens":{completion},"completion_tokens_details":null}}"#
        )
    }

    fn garbled(&self) -> Bytes {
        Bytes::from(format!("{}{{\"index\":0,\"del\n\n", self.opening))
    }

    fn chunk(&self, choice: &str, more: &str) -> Bytes {
        let mut text = String::with_capacity(self.opening.len() + choice.len() + more.len() + 4);
        for part in [&self.opening, choice, "]", more, "}\n\n"] {
            text.push_str(part);
        }
        Bytes::from(text)
    }
}

fn fingerprint() -> String {
    format!(r#","system_fingerprint":"{FINGERPRINT}""#)
}
