//! One line: its call, its retries, its record. Knows nothing of shards, leases or files.

use crate::{
    Core,
    account::{self, Begun, Spent},
    gate::{Gate, Try, backoff},
    leases::Pass,
    record::{self, Record},
    retry::{self, Next, Remedy, Tally},
    shard::Doors,
};
use bytes::Bytes;
use domain::{BatchId, Class, Endpoint, Error, Kind, RequestContext, RequestId, Result, TenantId, TraceContext, Usage};
use http::StatusCode;
use orchestrator::{Dialect, ModelRequest, Sending};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use store::Side;
use tokio::sync::watch;
use wire::batch::InputLine;

/// A line to answer.
pub(crate) struct Line {
    /// Counted from 0 within the shard.
    pub(crate) number: usize,
    pub(crate) text: Bytes,
    pub(crate) tenant: TenantId,
    pub(crate) batch: BatchId,
    pub(crate) endpoint: Endpoint,
    pub(crate) trace: Option<TraceContext>,
    /// Whether it may call the model.
    pub(crate) pass: watch::Receiver<Pass>,
    /// Those of its shard.
    pub(crate) doors: Arc<Doors>,
    /// Told when a request for it goes out.
    pub(crate) sending: Sending,
}

/// What one call gave.
enum Attempt {
    Answer { status: StatusCode, body: Bytes, spent: Spent },
    Failure(Error),
}

/// Answers the line. `None` when it was told to stop first; it may then be answered again by somebody else.
pub(crate) async fn run(core: Arc<Core>, line: Line) -> Option<Record> {
    let parsed = serde_json::from_slice::<InputLine<'_>>(&line.text)
        .map_err(|error| Error::invalid(format!("The line is not a batch request: {error}.")))
        .map(|input| (input.custom_id.into_owned(), line.text.slice_ref(input.body.get().as_bytes())));
    let (custom_id, body) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return Some(line.refused(&crate::input::custom_id(&line.text), &error)),
    };
    match parse(&line, body.clone()) {
        Ok(request) => line.answer(&core, &custom_id, body, request).await,
        Err(error) => Some(line.refused(&custom_id, &error)),
    }
}

fn parse(line: &Line, body: Bytes) -> Result<ModelRequest> {
    let dialect = match line.endpoint {
        Endpoint::ChatCompletions => Dialect::Chat,
        Endpoint::Completions => Dialect::Completions,
        Endpoint::Embeddings => Dialect::Embeddings,
    };
    ModelRequest::parse(dialect, body)
}

impl Line {
    async fn answer(mut self, core: &Core, custom_id: &str, body: Bytes, request: ModelRequest) -> Option<Record> {
        let gate = core.gates.of(&request.head.model);
        let (begun, asked) = (Begun::now(), (request.dialect, request.head.model.clone()));
        let (mut tally, mut next, mut try_) = (Tally::default(), Some(request), Try::First);
        loop {
            let request = match next.take() {
                Some(request) => request,
                None => parse(&self, body.clone()).ok()?,
            };
            let context = self.context(core);
            let attempt = self.call(core, (&gate, try_), &context, request).await?;
            let remedy = attempt.remedy();
            if remedy == Remedy::Record {
                gate.accepted();
            }
            match tally.next(remedy, gate.failed_together(), core.settings.max_attempts) {
                Next::Record => return Some(self.record(custom_id, &context, &asked, (begun, attempt))),
                Next::Ask => {}
                Next::Pause(retry_after) => gate.refused(retry_after),
                Next::AskAgain(failures) => {
                    self.unless_closed(tokio::time::sleep(backoff(failures))).await?;
                    try_ = Try::Again;
                }
            }
        }
    }

    /// One call within the gate of its model; `None` when told to stop before it went out to a model server. Until then it has
    /// cost nothing, and the room that it waits for is somebody else's.
    async fn call(
        &mut self,
        core: &Core,
        (gate, try_): (&Gate, Try),
        context: &RequestContext,
        mut request: ModelRequest,
    ) -> Option<Attempt> {
        let doors = Arc::clone(&self.doors);
        let permit = self.unless_closed(doors.enter(gate, &request.head.model, try_)).await?.ok()?;
        let pass = self.pass.wait_for(|pass| *pass != Pass::Paused).await.map(|pass| *pass);
        if pass.ok()? != Pass::Open {
            return None;
        }
        let gone_out = Arc::new(AtomicBool::new(false));
        request.sending = Some(self.sending_and_marking(&gone_out));
        let mut call = pin!(tokio::time::timeout(core.settings.call_timeout, attempt(core, context, request)));
        let ended = match self.unless_closed(&mut call).await {
            Some(ended) => ended,
            None if gone_out.load(Ordering::Relaxed) => call.await,
            None => return None,
        };
        let attempt = match ended {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Attempt::Failure(error),
            Err(_) => Attempt::Failure(Error::new(Kind::Timeout, "The model did not answer in time.")),
        };
        drop(permit);
        gate.saw(matches!(attempt.remedy(), Remedy::Charge | Remedy::Forgive));
        Some(attempt)
    }

    fn sending_and_marking(&self, gone_out: &Arc<AtomicBool>) -> Sending {
        let (sending, gone_out) = (self.sending.clone(), Arc::clone(gone_out));
        Sending::new(move || {
            gone_out.store(true, Ordering::Relaxed);
            sending.tell();
        })
    }

    /// Waits for `work`, but not longer than new calls are allowed.
    async fn unless_closed<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = self.pass.wait_for(|pass| matches!(pass, Pass::Closed(_))) => None,
        }
    }

    fn context(&self, core: &Core) -> RequestContext {
        RequestContext {
            request_id: RequestId::generate(),
            tenant: self.tenant.clone(),
            key: None,
            class: Class::Batch,
            trace: self.trace,
            deadline: Some(Instant::now() + core.settings.call_timeout),
            wishes: domain::Wishes::default(),
        }
    }

    fn record(
        &self,
        custom_id: &str,
        context: &RequestContext,
        (dialect, model): &(Dialect, String),
        (begun, attempt): (Begun, Attempt),
    ) -> Record {
        let id = &context.request_id;
        let (status, spent, told) = match attempt {
            Attempt::Failure(error) => (chassis::status_of(error.kind()), Spent::default(), Err(error)),
            Attempt::Answer { status, body, spent } => {
                (status, spent, record::executed(custom_id, id, status.as_u16(), &body))
            }
        };
        let usage = spent.usage;
        let ledger = Some(Box::new(account::record(self, context, (*dialect, model), begun, (status, spent))));
        match told {
            Ok(json) => {
                let side = if status.is_success() { Side::Ok } else { Side::Err };
                Record { number: self.number, side, json, usage, ledger }
            }
            Err(error) => Record { ledger, ..self.error_record(record::failed(custom_id, id, &error)) },
        }
    }

    fn refused(&self, custom_id: &str, error: &Error) -> Record {
        self.error_record(record::failed(custom_id, &RequestId::generate(), error))
    }

    fn error_record(&self, json: Vec<u8>) -> Record {
        Record { number: self.number, side: Side::Err, json, usage: Usage::default(), ledger: None }
    }
}

async fn attempt(core: &Core, context: &RequestContext, request: ModelRequest) -> Result<Attempt> {
    let response = core.backend.call(context, request).await?;
    let (status, served) = (response.status, response.served.clone());
    let (body, outcome) = response.body.collect(core.settings.max_response_bytes).await?;
    match outcome.error {
        Some(error) => Err(error),
        None => {
            let (usage, is_estimated) = (outcome.usage.unwrap_or_default(), outcome.is_estimated);
            Ok(Attempt::Answer {
                status,
                body,
                spent: Spent { usage, is_estimated, served: outcome.served.or(served) },
            })
        }
    }
}

impl Attempt {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Answer { status, body, .. } => retry::of_answer(status.as_u16(), body),
            Self::Failure(error) => retry::of_error(error),
        }
    }
}
