//! `POST /v1/batches/quote`: what a batch would take, before it is made. Nothing is reserved.

use super::{
    forecast::{Throughput, Work, tokens_until_done},
    require_input,
};
use crate::{
    app::{App, Gateway},
    extract::ApiJson,
};
use axum::{Extension, Json, extract::State};
use chassis::http::ApiError;
use domain::{Caller, Money, Priority, RequestContext, Result, fair};
use serde::Serialize;
use std::sync::Arc;
use store::{FileIndex, NewBatch, request::BatchRequest};
use utoipa::ToSchema;

/// The minutes of the recent past that say how fast the workers are.
const RECENT_MINUTES: i64 = 30;
const DAY_MINUTES: f64 = 1_440.0;

/// What a batch would take. Tokens are estimates: one for four bytes of a line, and its `max_tokens`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchQuote {
    /// Always `batch.quote`.
    object: &'static str,
    /// Lines of the input.
    lines: u64,
    /// Mistakes in the input; with any the batch would fail.
    input_errors: u64,
    /// Tokens of the prompts.
    prompt_tokens: u64,
    /// Tokens of the answers; lines without `max_tokens` count as their model's `expected_output_tokens`.
    output_tokens: u64,
    /// US dollars, as a decimal string; null = the price of a model is not known.
    cost_usd: Option<String>,
    /// Tokens of other lines that workers would do before the last of these.
    tokens_ahead: i64,
    /// Tokens that all workers together did in a second lately; null = nothing was measured.
    tokens_per_second: Option<f64>,
    /// Seconds until it would end; null = nothing was measured.
    eta_seconds: Option<i64>,
    /// The chance that its window closes first, from 0 to 1; null = too little was measured.
    chance_of_missing_window: Option<f64>,
}

/// `POST /v1/batches/quote`
pub(crate) async fn quote(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(context): Extension<RequestContext>,
    ApiJson(body): ApiJson<BatchRequest>,
) -> Result<Json<BatchQuote>, ApiError> {
    let mut new = body.to_new_batch(context.tenant.clone(), context.traceparent())?;
    let index = require_input(&app.gateway, &caller, &new).await?.unwrap_or_default();
    new.tokens = index.tokens_by_model();
    let bill = Bill::of(&index, &app.gateway).await?;
    let forecast = Forecast::of(&new, &app.gateway).await?;
    Ok(Json(BatchQuote {
        object: "batch.quote",
        lines: index.lines,
        input_errors: index.error_count,
        prompt_tokens: bill.prompt_tokens,
        output_tokens: bill.output_tokens,
        cost_usd: bill.cost.map(Money::to_usd),
        tokens_ahead: forecast.tokens_ahead,
        tokens_per_second: forecast.throughput.map(|throughput| throughput.mean / 60.0),
        eta_seconds: forecast.eta_seconds,
        chance_of_missing_window: forecast.chance_of_missing,
    }))
}

struct Bill {
    prompt_tokens: u64,
    output_tokens: u64,
    cost: Option<Money>,
}

impl Bill {
    async fn of(index: &FileIndex, gateway: &Gateway) -> Result<Self> {
        let mut bill = Self { prompt_tokens: 0, output_tokens: 0, cost: Some(Money::ZERO) };
        for estimate in &index.estimates {
            let model = gateway.prices.model(&estimate.model, &*gateway.backend).await?.unwrap_or_default();
            let unsaid = estimate.unbounded_lines.saturating_mul(model.expected_output_tokens);
            let output = estimate.output_tokens.saturating_add(unsaid);
            bill.prompt_tokens += estimate.prompt_tokens;
            bill.output_tokens = bill.output_tokens.saturating_add(output);
            let cost = model.price.map(|price| price.cost(estimate.prompt_tokens, output));
            bill.cost = bill.cost.zip(cost).map(|(sum, cost)| sum + cost);
        }
        Ok(bill)
    }
}

struct Forecast {
    tokens_ahead: i64,
    throughput: Option<Throughput>,
    eta_seconds: Option<i64>,
    chance_of_missing: Option<f64>,
}

impl Forecast {
    async fn of(new: &NewBatch, gateway: &Gateway) -> Result<Self> {
        let store = &gateway.store;
        let terms = &new.terms;
        let weight = store.tenant(&new.tenant).await?.map_or(fair::DEFAULT_WEIGHT, |tenant| tenant.batch_weight);
        let mut own = Work { weight: weight as f64, tokens: new.tokens.iter().map(|(_, tokens)| *tokens as f64).sum() };
        let itself = own.tokens;
        if terms.priority == Priority::Idle {
            own.weight *= fair::IDLE as f64 / fair::USUAL as f64;
        }
        let mut others = Vec::new();
        for work in store.work_before(&new.tenant, terms.priority, new.window_secs).await? {
            let tokens = work.tokens.max(0) as f64;
            if work.tenant == new.tenant {
                own.tokens += tokens;
            } else {
                others.push(Work { weight: work.weight as f64, tokens });
            }
        }
        let tokens = tokens_until_done(own, &others);
        let throughput = Throughput::of(&store.throughput(RECENT_MINUTES).await?);
        let delay = match terms.not_before_ms {
            Some(begin) => (begin - store.now_ms().await?).max(0) as f64 / 60_000.0,
            None => 0.0,
        };
        let part_of_day = terms.run_between.map_or(1.0, |window| window.minutes() as f64 / DAY_MINUTES);
        let left = (new.window_secs as f64 / 60.0 - delay) * part_of_day;
        let eta = throughput.map(|throughput| delay + tokens / throughput.mean / part_of_day);
        Ok(Self {
            tokens_ahead: whole(tokens - itself),
            throughput,
            eta_seconds: eta.map(|minutes| whole((minutes * 60.0).ceil())),
            chance_of_missing: throughput.and_then(|throughput| throughput.chance_of_less(tokens, left)),
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest whole number there is")]
fn whole(number: f64) -> i64 {
    number as i64
}
