//! `POST /v1/embeddings`: unit vectors that are a pure function of seed and input.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::future::join_all;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    damage,
    exchange::{Usage, refuse},
    faults::Fault,
    lane::{Lane, Script},
    refusal::Refusal,
    request::{Fields, check_lengths, texts},
    serve::Connection,
    simulator::{Simulator, Ticket, unix_seconds},
    text::{Prompt, Voice},
};

/// Length of a vector whose request does not ask for another.
const DIMENSIONS: usize = 64;
const MAX_DIMENSIONS: i64 = 4_096;

struct EmbeddingRequest {
    model: String,
    inputs: Vec<Prompt>,
    dimensions: usize,
    is_base64: bool,
    priority: i64,
}

/// `POST /v1/embeddings`
pub(crate) async fn create(
    State(sim): State<Arc<Simulator>>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let ticket = sim.open();
    match embed(&sim, connection.map(|c| c.0), &headers, &body).await {
        Ok((answer, fault)) => finish(&answer, &fault, ticket).await,
        Err(refusal) => refuse(ticket, &refusal),
    }
}

/// The unit vector for `input`.
#[must_use]
pub fn embedding(seed: u64, input: &str, dimensions: usize) -> Vec<f32> {
    let voice = Voice::new(seed, input);
    let raw: Vec<f32> = (0..dimensions).map(|position| voice.component(position)).collect();
    let norm = raw.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.into_iter().map(|x| x / norm).collect()
}

async fn embed(
    sim: &Simulator,
    connection: Option<Connection>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Value, Fault), Refusal> {
    let fault = sim.faults.of(headers)?;
    damage::strike(&fault, connection).await?;
    let request = EmbeddingRequest::parse(body, sim)?;
    if fault.error.is_some() {
        return Err(Refusal::engine_dead());
    }
    let mut lanes = Vec::with_capacity(request.inputs.len());
    for input in &request.inputs {
        let script = Script::new(Voice::new(0, ""), 0, true, &[]);
        lanes.push(sim.lane(lanes.len(), script, input, sim.seat(request.priority, input)?));
    }
    join_all(lanes.iter_mut().map(Lane::prefill)).await;
    lanes.iter().for_each(Lane::finish);
    Ok((request.answer(sim, &sim.answer_id("embd", headers)), fault))
}

async fn finish(answer: &Value, fault: &Fault, ticket: Ticket) -> Response {
    if fault.stall.is_some() {
        std::future::pending::<()>().await;
    }
    damage::whole(answer, fault, ticket)
}

impl EmbeddingRequest {
    fn parse(body: &[u8], sim: &Simulator) -> Result<Self, Refusal> {
        let fields = Fields::parse(body)?;
        let inputs: Vec<_> = texts(&fields, "input")?.into_iter().map(|text| Prompt::from_text(text, 0)).collect();
        let model = fields.model(&sim.settings)?;
        check_lengths(&inputs, &sim.settings)?;
        let dimensions = match fields.integer("dimensions")? {
            None => DIMENSIONS,
            Some(asked @ 1..=MAX_DIMENSIONS) => asked as usize,
            Some(asked) => {
                let message = format!("dimensions must be in [1, {MAX_DIMENSIONS}], got {asked}.");
                return Err(Refusal::bad_value("dimensions", asked, message));
            }
        };
        let is_base64 = match fields.text("encoding_format") {
            None | Some("float") => false,
            Some("base64") => true,
            Some(other) => {
                let message = "Input should be \\'float\\' or \\'base64\\'";
                return Err(Refusal::schema("body.encoding_format", "literal_error", message, &format!("'{other}'")));
            }
        };
        let priority = fields.integer("priority")?.unwrap_or(0);
        Ok(Self { model, inputs, dimensions, is_base64, priority })
    }

    fn answer(&self, sim: &Simulator, id: &str) -> Value {
        let data = self.inputs.iter().enumerate().map(|(index, input)| {
            let vector = embedding(sim.settings.seed, &input.text, self.dimensions);
            json!({"index": index, "object": "embedding", "embedding": self.encode(&vector)})
        });
        let data: Vec<_> = data.collect();
        json!({
            "id": id, "object": "list", "created": unix_seconds(), "model": self.model, "data": data,
            "usage": Usage::new(self.inputs.iter().map(|input| input.tokens).sum(), 0),
        })
    }

    fn encode(&self, vector: &[f32]) -> Value {
        if !self.is_base64 {
            return json!(vector);
        }
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        json!(STANDARD.encode(bytes))
    }
}
