//! From the first byte of an answer to its end: holds what the call occupies, tells at the end who answered and what it cost, and
//! books what was delivered when the caller leaves before.

use crate::{
    Frame, ModelBody, Outcome, Progress, Served,
    breaker::Pass,
    catalog::Prices,
    endpoint::InFlight,
    gate::Slot,
    instruments::{self, Instruments, Labels},
    limits::DEADLINE_EXCEEDED,
    spare::Presence,
};
use domain::{Kind, Usage};
use futures::StreamExt;
use std::sync::Arc;
use tokio::time::Instant;

/// What a call occupies until its answer has ended.
#[derive(Debug)]
pub(crate) struct Occupied {
    pub(crate) pass: Pass,
    pub(crate) _slot: Slot,
    pub(crate) presence: Presence,
    pub(crate) _in_flight: InFlight,
}

/// The end of an answer whose caller left.
const CANCELLED: &str = "cancelled";

/// The account of one answer.
pub(crate) struct Account {
    pub(crate) instruments: Arc<Instruments>,
    pub(crate) labels: Labels,
    pub(crate) served: Served,
    pub(crate) prices: Prices,
    pub(crate) prompt_guess: u64,
    pub(crate) begun: Instant,
    pub(crate) occupied: Occupied,
    /// Kept open for as long as the answer takes.
    pub(crate) span: tracing::Span,
}

/// Books the answer when it is dropped before its end.
struct Open {
    account: Option<Account>,
    progress: Progress,
    first: Option<Instant>,
    chunks: u32,
}

impl Account {
    /// The same body, with this account kept over it.
    pub(crate) fn keep(self, body: ModelBody) -> ModelBody {
        match body.into_whole() {
            // Nothing is left to be waited for: the call has ended.
            Ok((bytes, outcome)) => ModelBody::whole(bytes, self.close(outcome)),
            Err(body) => self.keep_open(body),
        }
    }

    fn keep_open(self, body: ModelBody) -> ModelBody {
        let progress = body.progress();
        let mut open = Open { account: Some(self), progress: progress.clone(), first: None, chunks: 0 };
        let frames = body.map(move |frame| match frame {
            Frame::Data(bytes) => {
                open.saw_chunk();
                Frame::Data(bytes)
            }
            // Ends the call before the caller reads the end: what it occupied is free by then.
            Frame::End(outcome) => Frame::End(Box::new(open.close(*outcome))),
        });
        ModelBody::new(frames).with_progress(progress)
    }

    fn close(mut self, outcome: Outcome) -> Outcome {
        let fault = outcome.error.as_ref().map(|error| (error.kind(), error.code() == Some(DEADLINE_EXCEEDED)));
        if let Some((kind, false)) = fault {
            // Its text may be the model server's, which may quote the prompt.
            let (deployment, error) = (&*self.served.deployment, error_type(kind));
            tracing::warn!(deployment, error, "an answer broke after it had begun");
            if kind.is_retryable() {
                self.occupied.pass.failed(Instant::now());
            }
        }
        self.occupied.presence.answered(outcome.usage.map_or(0, |usage| usage.output));
        self.served.cost = outcome.usage.and_then(|usage| self.prices.cost(&usage));
        self.book(outcome.usage, fault.map(|(kind, _)| error_type(kind)));
        Outcome { served: Some(self.served), ..outcome }
    }

    fn book(&self, usage: Option<Usage>, error: Option<&'static str>) {
        self.instruments.ended(&self.labels, self.begun.elapsed(), usage, error);
        if let Some(cost) = usage.and_then(|usage| self.prices.cost(&usage)) {
            self.instruments.spent(&self.labels, cost);
        }
        if let Some(usage) = usage {
            let outcome =
                error.map_or(instruments::COMPLETE, |error| if error == CANCELLED { CANCELLED } else { "broken" });
            self.instruments.delivered(&self.labels, usage.output, outcome);
            self.span.record("gen_ai.usage.input_tokens", usage.input);
            self.span.record("gen_ai.usage.output_tokens", usage.output);
        }
        if let Some(error) = error {
            self.span.record("error.type", error);
        }
    }
}

impl Open {
    fn saw_chunk(&mut self) {
        self.first.get_or_insert_with(Instant::now);
        self.chunks += 1;
    }

    fn close(&mut self, outcome: Outcome) -> Outcome {
        let Some(account) = self.account.take() else { return outcome };
        if let (Some(first), gaps @ 1..) = (self.first, self.chunks.saturating_sub(1)) {
            account.instruments.paced(&account.labels, first.elapsed() / gaps);
        }
        account.close(outcome)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(account) = self.account.take() else { return };
        let delivered = self.progress.tokens();
        let usage = Usage { input: account.prompt_guess, output: delivered, ..Usage::default() };
        account.book(Some(usage), Some(CANCELLED));
    }
}

/// The word of an error in metrics and spans.
pub(crate) fn error_type(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidRequest => "invalid_request",
        Kind::Unauthenticated => "unauthenticated",
        Kind::PermissionDenied => "permission_denied",
        Kind::NotFound => "not_found",
        Kind::MethodNotAllowed => "method_not_allowed",
        Kind::Conflict => "conflict",
        Kind::TooLarge => "too_large",
        Kind::UnsupportedMediaType => "unsupported_media_type",
        Kind::Unprocessable => "unprocessable",
        Kind::RateLimited { .. } => "rate_limited",
        Kind::Internal => "internal",
        Kind::Unsupported => "unsupported",
        Kind::BadUpstream => "bad_upstream",
        Kind::Unavailable => "unavailable",
        Kind::Timeout => "timeout",
    }
}
