//! One request's way through the endpoints that may answer it: in the policy's order, then the models that stand in, then after
//! a pause once more, as far as the budget of retries, the caller's deadline and the kind of failure allow.

mod entry;
mod hedge;
mod verdict;

use entry::Entry;

use crate::{
    ModelRequest,
    client::UpstreamClient,
    exchange::{Answered, Exchange},
    explain::Tried,
    failure::{Blame, Failure},
    instruments::Instruments,
    policy::{RouteQuery, rank},
    retry,
    settle::{Account, Occupied},
    table::{Candidate, Route},
};
use domain::{Class, Error, RequestContext, Result, Usage};
use rand::RngExt;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// The most calls for one request.
const MAX_CALLS: u32 = 8;
/// The most rounds over all candidates.
const MAX_ROUNDS: u32 = 3;
/// A longer pause is the caller's to make.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long an endpoint rests that asked for it without saying how long, or whose account is used up.
const REST: Duration = Duration::from_secs(1);
const ACCOUNT_REST: Duration = Duration::from_secs(10);
/// Tokens that an answer is expected to have when its request does not say.
const EXPECTED_OUTPUT: u64 = 256;

/// One request's attempts.
pub(crate) struct Attempts<'a> {
    client: &'a UpstreamClient,
    instruments: &'a Arc<Instruments>,
    ctx: &'a RequestContext,
    request: &'a ModelRequest,
    begun: Instant,
    expected: Usage,
    calls: u32,
    /// How long calls took that are over, which is not our time.
    upstream: Duration,
    tried: Vec<Tried>,
    /// Endpoints that are not to be asked again.
    spent: Vec<Key>,
    /// What the asked model's last failure was; that of a stand-in would confuse.
    failure: Option<Failure>,
}

/// Names an endpoint of a deployment among those of one request, which keeps both alive: their addresses in memory.
type Key = (usize, usize);

/// An answer and its account.
pub(crate) struct Won {
    pub(crate) answered: Answered,
    pub(crate) account: Account,
}

/// One call's end.
struct Called {
    answered: Result<Answered, Failure>,
    occupied: Occupied,
    took: Duration,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(
        client: &'a UpstreamClient,
        instruments: &'a Arc<Instruments>,
        ctx: &'a RequestContext,
        request: &'a ModelRequest,
    ) -> Self {
        let head = &request.head;
        let output = head.max_tokens.map_or(EXPECTED_OUTPUT, |max| max.min(EXPECTED_OUTPUT));
        let expected = Usage { input: head.prompt_tokens_estimate(), output, ..Usage::default() };
        Self {
            client,
            instruments,
            ctx,
            request,
            begun: Instant::now(),
            expected,
            calls: 0,
            upstream: Duration::ZERO,
            tried: Vec::new(),
            spent: Vec::new(),
            failure: None,
        }
    }

    /// Asks until somebody answers.
    ///
    /// # Errors
    /// The failure of the model that was asked for.
    pub(crate) async fn run(&mut self, chain: &[Arc<Route>]) -> Result<Won> {
        let main = &chain[0];
        main.retries.refresh(self.begun);
        main.retries.deposit();
        main.hedges.deposit();
        for round in 1..=MAX_ROUNDS {
            for (position, route) in chain.iter().enumerate() {
                if let Some(won) = self.ask(route, position, chain).await? {
                    return Ok(won);
                }
            }
            if round == MAX_ROUNDS || !self.pause(round, main).await {
                break;
            }
        }
        Err(self.give_up(main))
    }

    /// Asks the endpoints of one model, each once. `None` when none of them answered.
    async fn ask(&mut self, route: &Route, position: usize, chain: &[Arc<Route>]) -> Result<Option<Won>> {
        let mut order = self.order(route);
        let is_waited_for = self.ctx.class == Class::Interactive;
        let may_hedge = is_waited_for && route.model.hedging.is_some() && position == 0 && self.calls == 0;
        let mut patience = may_hedge.then(|| route.first_tokens.p95()).flatten();
        let mut full = None;
        while !order.is_empty() {
            let candidate = order.remove(0);
            let Some(entry) = Entry::try_new(&candidate, self.ctx.class) else {
                full.get_or_insert(candidate);
                continue;
            };
            let ended = match (patience.take(), order.first().cloned()) {
                (Some(patience), Some(second)) => {
                    // Boxed, as what is rare: it would make the future of every request three times as large.
                    let hedged = self.call_hedged(route, candidate, second, entry, patience);
                    let (ended, calls) = Box::pin(hedged).await;
                    self.calls += calls;
                    order.drain(..usize::from(calls == 2));
                    ended
                }
                _ => self.call(route, candidate, entry).await.into_iter().collect(),
            };
            for (candidate, called) in ended {
                if let Some(won) = self.judge(route, &candidate, called, position, chain)? {
                    return Ok(Some(won));
                }
            }
        }
        match full {
            Some(candidate) if self.calls < MAX_CALLS => {
                Box::pin(self.wait_for(route, candidate, position, chain)).await
            }
            _ => Ok(None),
        }
    }

    /// Everybody else is full or failed: waits for the best of those that were full.
    async fn wait_for(
        &mut self,
        route: &Route,
        candidate: Candidate,
        position: usize,
        chain: &[Arc<Route>],
    ) -> Result<Option<Won>> {
        // A stand-in that has room is better than waiting here. Batch waits: what it is to cost, and who is to answer it, was chosen.
        let is_batch = self.ctx.class == Class::Batch;
        let entered = if position + 1 < chain.len() && !is_batch {
            Err(Error::unavailable("The model has as many requests as it can serve."))
        } else {
            Entry::wait(&candidate, self.ctx).await
        };
        match entered {
            Ok(entry) => match self.call(route, candidate, entry).await {
                Some((candidate, called)) => self.judge(route, &candidate, called, position, chain),
                None => Ok(None),
            },
            Err(error) if is_batch => Err(error),
            Err(error) => {
                let wait = error.retry_after();
                self.note(position, Failure::new(Blame::Load(wait), error));
                self.spent.push(key(&candidate));
                Ok(None)
            }
        }
    }

    /// Who is asked, in which order.
    fn order(&self, route: &Route) -> Vec<Candidate> {
        let now = Instant::now();
        let mut candidates = route.candidates(self.request.dialect, &self.expected, now);
        candidates.retain(|candidate| {
            candidate.endpoint.breaker.closed_until(now).is_none() && !self.spent.contains(&key(candidate))
        });
        if candidates.len() < 2 {
            return candidates;
        }
        let query = RouteQuery {
            prefix_hash: self.request.head.prefix_hash,
            tokens: self.expected.total() as f64,
            dice: rand::rng().random(),
            turn: route.turn.fetch_add(1, Ordering::Relaxed),
            slo_ttft: route.model.slo_ttft,
            budget: self.ctx.wishes.budget,
        };
        let views: Vec<_> = candidates.iter().map(|candidate| candidate.view).collect();
        let order = rank(route.model.policy, &query, &views);
        order.into_iter().map(|index| candidates[index].clone()).collect()
    }

    /// Calls one endpoint. `None` when its breaker let nobody in after all, or enough calls were made.
    async fn call(&mut self, route: &Route, candidate: Candidate, entry: Entry) -> Option<(Candidate, Called)> {
        if self.calls >= MAX_CALLS {
            return None;
        }
        let occupied = self.occupy(&candidate, entry)?;
        self.calls += 1;
        let called = self.exchange(route, &candidate, occupied).await;
        Some((candidate, called))
    }

    fn occupy(&self, candidate: &Candidate, entry: Entry) -> Option<Occupied> {
        let pass = candidate.endpoint.breaker.enter(Instant::now())?;
        let in_flight = candidate.endpoint.begin(self.expected.total() as f64);
        Some(Occupied { pass, _slot: entry.slot, presence: entry.presence, _in_flight: in_flight })
    }

    async fn exchange(&self, route: &Route, candidate: &Candidate, occupied: Occupied) -> Called {
        let begun = Instant::now();
        if let Some(sending) = &self.request.sending {
            sending.tell();
        }
        let exchange = Exchange {
            client: self.client,
            provider: candidate.deployed.provider.as_ref(),
            deployment: &candidate.deployed.deployment,
            speech: candidate.speech,
            url: &candidate.endpoint.url,
            model: &route.model.name,
            ctx: self.ctx,
            request: self.request,
        };
        let answered = tokio::select! {
            biased;
            answered = exchange.run() => answered,
            () = occupied.presence.recalled() => Err(entry::yielded()),
        };
        Called { answered, occupied, took: begun.elapsed() }
    }

    /// Waits before the next round; false when there shall be none.
    async fn pause(&self, round: u32, main: &Route) -> bool {
        let now = Instant::now();
        let candidates = main.candidates(self.request.dialect, &self.expected, now);
        let open = candidates.iter().filter(|candidate| !self.spent.contains(&key(candidate)));
        let earliest = open.map(|candidate| candidate.endpoint.breaker.closed_until(now)).min();
        let Some(earliest) = earliest else { return false };
        let rest = earliest.map_or(Duration::ZERO, |until| until - now);
        let pause = retry::pause(round, rand::rng().random()).max(rest);
        let left = self.ctx.deadline.map(|deadline| deadline.saturating_duration_since(std::time::Instant::now()));
        if pause > LONGEST_PAUSE || left.is_some_and(|left| left <= pause) || !main.retries.withdraw() {
            return false;
        }
        sleep(pause).await;
        true
    }

    fn give_up(&mut self, main: &Route) -> Error {
        if let Some(failure) = self.failure.take() {
            return failure.error;
        }
        let now = Instant::now();
        let candidates = main.candidates(self.request.dialect, &self.expected, now);
        if candidates.is_empty() {
            let (model, path) = (&main.model.name, self.request.dialect.path());
            return Error::not_found(format!("The model `{model}` is not served at {path}.")).with_param("model");
        }
        let earliest = candidates.iter().filter_map(|candidate| candidate.endpoint.breaker.closed_until(now)).min();
        let error = Error::unavailable("Every server of the model has failed lately; try again later.");
        earliest.into_iter().fold(error, |error, until| error.with_retry_after(until - now))
    }
}

fn key(candidate: &Candidate) -> Key {
    (Arc::as_ptr(&candidate.deployed).addr(), Arc::as_ptr(&candidate.endpoint).addr())
}
