//! What the end of a call means for the request, for the endpoint and for the accounts.

use super::{ACCOUNT_REST, Attempts, Called, REST, Won, key};
use crate::{
    ModelRequest, Served,
    exchange::Answered,
    explain::{Tried, explain},
    failure::{Blame, CONTEXT_LENGTH_EXCEEDED, Failure},
    instruments::{self, Labels},
    settle::{Account, Occupied},
    table::{Candidate, Route},
};
use domain::{Error, Result};
use std::sync::Arc;
use tokio::time::Instant;

impl Attempts<'_> {
    /// What a call's end means: an answer for the caller, or the next candidate.
    pub(super) fn judge(
        &mut self,
        route: &Route,
        candidate: &Candidate,
        mut called: Called,
        position: usize,
        chain: &[Arc<Route>],
    ) -> Result<Option<Won>> {
        self.upstream += called.took;
        let labels = candidate.deployed.labels(self.request.dialect);
        let outcome = match &called.answered {
            Ok(answered) if answered.refusal.is_some() => "refused",
            Ok(_) => instruments::OK,
            Err(failure) => failure.blame.as_str(),
        };
        self.instruments.attempted(&labels, outcome);
        self.tried.push(Tried::new(
            &candidate.deployed.deployment.name,
            &candidate.endpoint.name,
            outcome,
            called.took,
        ));
        match called.answered {
            Ok(answered) => {
                if let Some(waited) = answered.first_token {
                    candidate.endpoint.saw_first_token(waited, Instant::now());
                    route.first_tokens.saw(waited);
                }
                called.occupied.pass.succeeded();
                if let Some(failure) = Self::is_no_answer(&answered, position, chain) {
                    self.note(position, failure);
                    self.spend(route);
                    return Ok(None);
                }
                Ok(Some(self.win(route, candidate, answered, called.occupied, labels)))
            }
            Err(failure) => {
                Self::blame(candidate, &mut called.occupied, failure.blame);
                if !failure.blame.allows_failover() {
                    return Err(failure.error);
                }
                if !failure.blame.allows_retry() {
                    self.spent.push(key(candidate));
                }
                self.note(position, failure);
                Ok(None)
            }
        }
    }

    /// A refusal that another model of the chain may not have: of a prompt that is too long where a longer context comes later,
    /// or of a stand-in, whose limits are not those of the model that was asked for.
    fn is_no_answer(answered: &Answered, position: usize, chain: &[Arc<Route>]) -> Option<Failure> {
        let code = answered.refusal.as_deref()?;
        let context = |route: &Arc<Route>| route.model.max_model_len;
        let is_longer = |route: &Arc<Route>| context(route) > context(&chain[position]);
        let is_too_long = code == CONTEXT_LENGTH_EXCEEDED && context(&chain[position]).is_some();
        if is_too_long && chain[position + 1..].iter().any(is_longer) {
            let text = "The prompt is longer than the model's context, and no other model could take it.";
            let error = Error::invalid(text).with_code(CONTEXT_LENGTH_EXCEEDED).with_param("messages");
            return Some(Failure::new(Blame::Unfit, error));
        }
        let text = "The model can't be reached, and the model that stands in for it refused the request.";
        (position > 0).then(|| Failure::new(Blame::Unfit, Error::unavailable(text)))
    }

    fn blame(candidate: &Candidate, occupied: &mut Occupied, blame: Blame) {
        let (now, breaker) = (Instant::now(), &candidate.endpoint.breaker);
        match blame {
            Blame::Endpoint | Blame::Silence => occupied.pass.failed(now),
            Blame::Load(wait) => {
                // It answered, so it lives.
                occupied.pass.succeeded();
                candidate.endpoint.spare.saw_refusal();
                breaker.rest(now + wait.unwrap_or(REST));
            }
            Blame::Account => breaker.rest(now + ACCOUNT_REST),
            Blame::Unfit | Blame::Caller | Blame::Yielded => {}
        }
    }

    /// Asks no endpoint of `route` again.
    fn spend(&mut self, route: &Route) {
        let candidates = route.candidates(self.request.dialect, &self.expected, Instant::now());
        self.spent.extend(candidates.iter().map(key));
    }

    pub(super) fn note(&mut self, position: usize, failure: Failure) {
        let error = failure.error.chain();
        let (calls, blame) = (self.calls, failure.blame.as_str());
        // Too much to do is no news while it lasts; the metrics count it.
        match failure.blame {
            Blame::Load(_) => tracing::debug!(calls, blame, error, "a deployment has too much to do"),
            _ => tracing::warn!(calls, blame, error, "a deployment failed"),
        }
        if position == 0 || self.failure.is_none() {
            self.failure = Some(failure);
        }
    }

    fn win(
        &mut self,
        route: &Route,
        candidate: &Candidate,
        answered: Answered,
        occupied: Occupied,
        labels: Labels,
    ) -> Won {
        let overhead = self.begun.elapsed().saturating_sub(self.upstream);
        self.instruments.began(&labels, answered.first_token, overhead);
        let prices = candidate.deployed.deployment.prices;
        let explanation = self.ctx.wishes.explain.then(|| self.explain(route));
        let served = Served {
            model: route.name.clone(),
            deployment: candidate.deployed.name.clone(),
            attempts: self.calls,
            cost: answered.usage.and_then(|usage| prices.cost(&usage)),
            is_cached: false,
            explanation,
        };
        let account = Account {
            instruments: self.instruments.clone(),
            span: span(route, candidate, self.request),
            labels,
            served,
            prices,
            prompt_guess: self.expected.input,
            begun: self.begun,
            occupied,
        };
        Won { answered, account }
    }

    fn explain(&self, route: &Route) -> String {
        let candidates = route.candidates(self.request.dialect, &self.expected, Instant::now());
        explain(route, &candidates, &self.tried)
    }
}

fn span(route: &Route, candidate: &Candidate, request: &ModelRequest) -> tracing::Span {
    let (operation, model) = (request.dialect.otel_operation(), &route.model.name);
    tracing::info_span!(
        "model call",
        otel.name = %format_args!("{operation} {model}"),
        otel.kind = "client",
        gen_ai.operation.name = operation,
        gen_ai.provider.name = candidate.deployed.provider.otel_name(),
        gen_ai.request.model = model,
        gen_ai.request.max_tokens = request.head.max_tokens,
        gen_ai.request.stream = request.head.stream,
        gen_ai.usage.input_tokens = tracing::field::Empty,
        gen_ai.usage.output_tokens = tracing::field::Empty,
        tandem.deployment = candidate.deployed.deployment.name,
        error.type = tracing::field::Empty,
    )
}
