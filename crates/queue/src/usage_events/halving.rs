//! Pub/Sub takes or refuses a request as a whole. Where it refuses one, the message that it means is found by halving, so that the
//! others are not kept back with it.

use domain::Error;
use std::future::Future;
use tokio::time::Instant;

/// So many refusals end the search: the topic wants none of it.
const MOST_REFUSALS: usize = 64;

/// What became of some messages that were sent together.
pub(super) struct Sent<T> {
    /// The topic has these.
    pub(super) published: Vec<T>,
    /// And not these.
    pub(super) left: Vec<T>,
    /// Why not.
    pub(super) failure: Option<Failure>,
}

/// Why messages were not taken.
pub(super) enum Failure {
    /// One of them is not what the topic takes.
    Refused(Error),
    /// It has nothing to do with them.
    Other(Error),
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Self::Refused(error) | Self::Other(error) => error,
        }
    }
}

/// Sends `all`, and halves of what is refused, until `deadline`. Gives what was published, and the first failure.
pub(super) async fn publish<T, F: Future<Output = Sent<T>>>(
    all: Vec<T>,
    deadline: Instant,
    send: impl Fn(Vec<T>) -> F,
) -> (Vec<T>, Option<Error>) {
    let (mut waiting, mut published, mut refusals, mut first) = (vec![all], Vec::new(), 0, None);
    while let Some(part) = waiting.pop() {
        if part.is_empty() || Instant::now() >= deadline {
            continue;
        }
        let Sent { published: taken, mut left, failure } = send(part).await;
        published.extend(taken);
        let Some(failure) = failure else { continue };
        if matches!(failure, Failure::Other(_)) {
            return (published, Some(failure.into_error()));
        }
        refusals += 1;
        first.get_or_insert(failure.into_error());
        if left.len() > 1 && refusals < MOST_REFUSALS {
            let second = left.split_off(left.len() / 2);
            waiting.extend([second, left]);
        }
    }
    (published, first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        cell::Cell,
        future::{Ready, ready},
        time::Duration,
    };

    /// Publishes numbers to a topic that refuses some.
    async fn publish_numbers(count: usize, refuses: impl Fn(usize) -> bool) -> (usize, bool, usize) {
        let requests = Cell::new(0);
        let deadline = Instant::now() + Duration::from_secs(60);
        let (published, failure) = publish((0..count).collect(), deadline, |part: Vec<usize>| {
            requests.set(requests.get() + 1);
            let refused = part.iter().any(|number| refuses(*number));
            ready(if refused {
                let failure = Some(Failure::Refused(Error::invalid("not this one")));
                Sent { published: Vec::new(), left: part, failure }
            } else {
                Sent { published: part, left: Vec::new(), failure: None }
            })
        })
        .await;
        (published.len(), failure.is_some(), requests.get())
    }

    #[tokio::test]
    async fn what_the_topic_takes_is_one_request() {
        assert_eq!(publish_numbers(1_000, |_| false).await, (1_000, false, 1));
        assert_eq!(publish_numbers(0, |_| false).await, (0, false, 0));
    }

    #[tokio::test]
    async fn one_that_is_refused_keeps_no_other_back() {
        let (published, failed, requests) = publish_numbers(1_000, |number| number == 700).await;

        assert_eq!((published, failed), (999, true));
        assert!(requests <= 21, "{requests} requests");
    }

    #[tokio::test]
    async fn a_topic_that_wants_nothing_is_not_asked_for_ever() {
        let (published, failed, requests) = publish_numbers(1_000, |_| true).await;

        assert_eq!((published, failed), (0, true));
        assert!(requests <= MOST_REFUSALS + 20, "{requests} requests");
    }

    #[tokio::test]
    async fn an_outage_ends_the_round() {
        let deadline = Instant::now() + Duration::from_secs(60);
        let requests = Cell::new(0);

        let (published, failure) = publish(vec![1, 2], deadline, |left| {
            requests.set(requests.get() + 1);
            let failure = Some(Failure::Other(Error::unavailable("away")));
            ready(Sent { published: Vec::new(), left, failure })
        })
        .await;

        assert_eq!((published.len(), failure.is_some(), requests.get()), (0, true, 1));
    }

    #[tokio::test]
    async fn nothing_is_sent_when_others_may_have_it() {
        let (published, _) = publish(vec![1], Instant::now(), |_| -> Ready<Sent<i32>> { panic!("too late") }).await;

        assert!(published.is_empty());
    }
}
