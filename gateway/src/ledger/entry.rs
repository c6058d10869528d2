//! The account of one request, from its admission to the end of its answer: what it reserved is settled and its record written,
//! however it ends. A caller who leaves drops it, and pays for what was delivered.

use super::{Ledger, Quote, Seat};
use crate::{
    limits::{Rates, Spent, Ticket},
    overload::Place,
};
use chrono::Utc;
use domain::{
    Caller, Class, Error, Money, RequestContext, RequestId, RequestOutcome, TraceId, Usage, UsageId, UsageRecord,
};
use http::StatusCode;
use orchestrator::{Dialect, ListPrice, ModelRequest, ModelResponse, Outcome, Progress, Served};
use std::{sync::Arc, time::Instant};

/// See the head of this file.
pub(crate) struct Entry {
    /// Boxed: it is handed on several times.
    open: Option<Box<Open>>,
}

struct Open {
    ledger: Arc<Ledger>,
    /// Given on when the request has ended.
    _place: Place,
    seat: Seat,
    ticket: Ticket,
    caller: Arc<Caller>,
    request: RequestId,
    trace_id: Option<TraceId>,
    class: Class,
    dialect: Dialect,
    model: Arc<str>,
    prompt_guess: u64,
    price: Option<ListPrice>,
    begun: Instant,
    begun_ms: i64,
    answer: Option<Answer>,
    first_byte: Option<Instant>,
}

/// What is known of an answer once it has begun.
struct Answer {
    status: StatusCode,
    served: Option<Served>,
    progress: Progress,
}

/// How a request ended, and what it used.
struct End {
    status: StatusCode,
    outcome: RequestOutcome,
    usage: Usage,
    is_estimated: bool,
    cost: Option<Money>,
    served: Option<Served>,
}

/// What a request occupies until its end.
pub(crate) type Held = (Place, Seat, Ticket);

/// Who asks what: what a record is made of.
pub(crate) struct Asked<'a> {
    pub(crate) caller: &'a Arc<Caller>,
    pub(crate) context: &'a RequestContext,
    pub(crate) request: &'a ModelRequest,
    /// When it came.
    pub(crate) begun: Instant,
}

impl Entry {
    pub(crate) fn new(ledger: Arc<Ledger>, (place, seat, ticket): Held, quote: &Quote, asked: &Asked<'_>) -> Self {
        let open = Open {
            ledger,
            _place: place,
            seat,
            ticket,
            caller: asked.caller.clone(),
            request: asked.context.request_id.clone(),
            trace_id: asked.context.trace.map(|trace| trace.trace_id),
            class: asked.context.class,
            dialect: asked.request.dialect,
            model: asked.request.head.model.as_str().into(),
            prompt_guess: asked.request.head.prompt_tokens_estimate(),
            price: quote.price,
            begun: asked.begun,
            begun_ms: Utc::now().timestamp_millis(),
            answer: None,
            first_byte: None,
        };
        Self { open: Some(Box::new(open)) }
    }

    /// What the headers of the answer say of limits.
    pub(crate) fn rates(&self) -> Rates {
        self.open.as_ref().map(|open| open.ticket.rates()).unwrap_or_default()
    }

    /// An answer has begun.
    pub(crate) fn answering(&mut self, response: &ModelResponse) {
        if let Some(open) = &mut self.open {
            let (served, progress) = (response.served.clone(), response.body.progress());
            open.answer = Some(Answer { status: response.status, served, progress });
        }
    }

    /// A part of its body goes out.
    pub(crate) fn sends(&mut self) {
        if let Some(open) = &mut self.open {
            open.first_byte.get_or_insert_with(Instant::now);
        }
    }

    /// The answer has reached its end, one way or another.
    pub(crate) fn ended(&mut self, outcome: &Outcome) {
        if let Some(open) = self.open.take() {
            let end = open.ended(outcome);
            open.close(end);
        }
    }

    /// There is no answer.
    pub(crate) fn failed(mut self, error: &Error) {
        if let Some(open) = self.open.take() {
            let status = chassis::status_of(error.kind());
            open.close(End::without_usage(status, RequestOutcome::Failed));
        }
    }

    /// The process goes before the answer has ended: what was delivered is paid.
    pub(crate) fn cut(&mut self) {
        if let Some(open) = self.open.take() {
            let end = open.delivered(RequestOutcome::Broken);
            open.close(end);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let end = open.delivered(RequestOutcome::Cancelled);
            open.close(end);
        }
    }
}

impl End {
    fn without_usage(status: StatusCode, outcome: RequestOutcome) -> Self {
        let (usage, cost) = (Usage::default(), Some(Money::ZERO));
        Self { status, outcome, usage, is_estimated: false, cost, served: None }
    }
}

impl Open {
    fn ended(&self, outcome: &Outcome) -> End {
        let status = self.answer.as_ref().map_or(StatusCode::OK, |answer| answer.status);
        let served = outcome.served.clone().or_else(|| self.answer.as_ref()?.served.clone());
        let is_cached = served.as_ref().is_some_and(|served| served.is_cached);
        let how = match &outcome.error {
            Some(_) => RequestOutcome::Broken,
            None if !status.is_success() => RequestOutcome::Failed,
            None => RequestOutcome::Complete,
        };
        match outcome.usage {
            Some(usage) => {
                let cost = served.as_ref().and_then(|served| served.cost);
                let cost = if is_cached { Some(Money::ZERO) } else { cost };
                End { status, outcome: how, usage, is_estimated: outcome.is_estimated, cost, served }
            }
            None if how == RequestOutcome::Failed => End { served, ..End::without_usage(status, how) },
            None => End { served, ..self.delivered(how) },
        }
    }

    /// What an answer without usage of its own is taken to have used: the prompt, and what went out. Nothing, if nobody answered.
    fn delivered(&self, outcome: RequestOutcome) -> End {
        let Some(answer) = &self.answer else {
            return End::without_usage(StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST), outcome);
        };
        let usage = Usage { input: self.prompt_guess, output: answer.progress.tokens(), ..Usage::default() };
        let cost = self.price.map(|price| price.cost(usage.input, usage.output));
        End { status: answer.status, outcome, usage, is_estimated: true, cost, served: answer.served.clone() }
    }

    fn close(self: Box<Self>, end: End) {
        if end.cost.is_none() && end.usage.total() > 0 {
            self.ledger.is_unpriced(&self.model);
        }
        let is_cached = end.served.as_ref().is_some_and(|served| served.is_cached);
        let tokens = if is_cached { 0 } else { i64::try_from(end.usage.total()).unwrap_or(i64::MAX) };
        let spent = Spent { tokens, cost: end.cost.map(Money::nanos) };
        let Self {
            seat, ticket, caller, request, trace_id, class, dialect, model, begun, begun_ms, first_byte, ..
        } = *self;
        let now = Instant::now();
        ticket.settle(spent, now.into());
        let (answered, deployment) = match end.served {
            Some(served) => (Some(served.model).filter(|model| !model.is_empty()), Some(served.deployment)),
            None => (None, None),
        };
        seat.send(UsageRecord {
            id: UsageId::generate(),
            at_ms: begun_ms,
            tenant: caller.tenant.clone(),
            key: caller.key.clone(),
            principal: caller.principal.clone(),
            batch: None,
            request,
            trace_id,
            class,
            dialect: dialect.as_str(),
            model: answered.unwrap_or(model),
            deployment: deployment.filter(|name| !name.is_empty()),
            status: end.status.as_u16(),
            outcome: end.outcome,
            usage: end.usage,
            is_estimated: end.is_estimated,
            is_cached,
            cost: end.cost,
            latency_ms: millis(begun, now),
            ttft_ms: first_byte.map(|at| millis(begun, at)),
        });
    }
}

fn millis(from: Instant, to: Instant) -> i64 {
    i64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(i64::MAX)
}
