//! A second call beside a slow first one, where the model allows it.

use super::{Attempts, Called, Entry, key};
use crate::table::{Candidate, Route};
use domain::Usage;
use std::{pin::pin, time::Duration};
use tokio::time::timeout;

impl Attempts<'_> {
    /// Calls the first, and the second as well when the first has been silent for `patience`; whoever answers first wins, and the
    /// other is hung up on. Gives the calls that ended, and how many were made.
    pub(super) async fn call_hedged(
        &self,
        route: &Route,
        first: Candidate,
        second: Candidate,
        entry: Entry,
        patience: Duration,
    ) -> (Vec<(Candidate, Called)>, u32) {
        let Some(occupied) = self.occupy(&first, entry) else { return (Vec::new(), 0) };
        let mut one = pin!(self.exchange(route, &first, occupied));
        let early = timeout(patience, &mut one).await;
        if let Ok(called) = early {
            return (vec![(first.clone(), called)], 1);
        }
        let entry = Entry::try_new(&second, self.ctx.class);
        let occupied = entry.filter(|_| route.hedges.withdraw()).and_then(|entry| self.occupy(&second, entry));
        let Some(occupied) = occupied else {
            let called = one.await;
            return (vec![(first.clone(), called)], 1);
        };
        let mut two = pin!(self.exchange(route, &second, occupied));
        let ended = tokio::select! {
            called = &mut one => match called.answered {
                Ok(_) => vec![(first.clone(), called)],
                Err(_) => vec![(first.clone(), called), (second.clone(), two.await)],
            },
            called = &mut two => match called.answered {
                Ok(_) => vec![(second.clone(), called)],
                Err(_) => vec![(second.clone(), called), (first.clone(), one.await)],
            },
        };
        self.book_hedge(route, &ended, &first, &second);
        (ended, 2)
    }

    /// The loser has read the prompt for nothing.
    fn book_hedge(&self, route: &Route, ended: &[(Candidate, Called)], first: &Candidate, second: &Candidate) {
        let is_first = ended.last().is_some_and(|(winner, _)| key(winner) == key(first));
        let loser = if is_first { second } else { first };
        let wasted = Usage { output: 0, ..self.expected };
        let cost = loser.deployed.deployment.prices.cost(&wasted);
        self.instruments.hedged(&route.model.name, if is_first { "first" } else { "second" }, cost);
    }
}
