//! The task that answers the first request with a key: it claims the key, runs the request or finds its outcome, and ends
//! whatever happens with a log that is finished and a key that is either done or free.

use super::{
    Rest,
    fingerprint::{Upload, Uploaded},
    head::Head,
    log::End,
    outcome::{self, Ended},
    refusal::Refusal,
    running::Running,
};
use crate::app::App;
use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::BodyExt;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use store::{Begun, IdempotencyClaim, IdempotentOutcome};
use wire::numbering::{Numbering, Part};

/// How often a lease is renewed within its time.
const RENEWALS: u64 = 3;
/// However short a lease is.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// How often the row of a request that runs elsewhere is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How long a request that has waited for another replica goes on waiting when its client has gone.
const NO_GRACE: Duration = Duration::ZERO;

pub(super) struct Leader {
    pub(super) app: App,
    pub(super) running: Arc<Running>,
    pub(super) claim: IdempotencyClaim,
    /// Set for uploads, whose hash is known at their end only.
    pub(super) uploaded: Option<Uploaded>,
}

/// The request, and who runs it.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) rest: Rest,
}

/// Who answers.
enum Turn {
    Ours,
    Theirs(IdempotentOutcome),
    Nobodys(Refusal),
}

impl Leader {
    pub(super) async fn lead(self, job: Job) {
        let ended = AssertUnwindSafe(self.answer(job)).catch_unwind().await;
        let (end, request_sha256) = ended.unwrap_or((End::Cut, None));
        self.app.gateway.replays.forget(&self.claim.key);
        // Without a head by now there will be none.
        self.running.open(Err(if end == End::Cut { Refusal::Lost } else { Refusal::Failed }));
        self.running.finish(end, request_sha256);
    }

    /// Gives the end of the answer, and what request it is of if one with the same key may ask.
    async fn answer(&self, job: Job) -> (End, Option<String>) {
        match self.turn().await {
            Turn::Ours => self.run(job).await,
            Turn::Theirs(outcome) => self.replay(outcome, job).await,
            Turn::Nobodys(refusal) => {
                self.running.open(Err(refusal));
                (End::Cut, None)
            }
        }
    }

    async fn turn(&self) -> Turn {
        loop {
            match self.begin().await {
                Ok(Begun::Started) => return Turn::Ours,
                Ok(Begun::Done(outcome)) => return Turn::Theirs(outcome),
                Ok(Begun::Running { request_sha256 }) if request_sha256 != self.claim.request_sha256 => {
                    return Turn::Nobodys(Refusal::Reused);
                }
                Ok(Begun::Running { .. }) => {}
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "an idempotency key can't be claimed");
                    return Turn::Nobodys(Refusal::Unreachable);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = self.running.abandoned(NO_GRACE) => return Turn::Nobodys(Refusal::Lost),
            }
        }
    }

    async fn begin(&self) -> domain::Result<Begun> {
        self.app.gateway.store.begin_idempotent(&self.claim, self.lease_ms(), self.ttl_ms()).await
    }

    /// Runs the request and keeps what is worth it, before any client sees the end.
    async fn run(&self, job: Job) -> (End, Option<String>) {
        let grace = Duration::from_secs(self.app.gateway.replays.settings.grace_secs.into());
        let ended = {
            let answering = outcome::watched(self.read(job));
            tokio::select! {
                ended = AssertUnwindSafe(answering).catch_unwind() => ended.map_or_else(|_panic| {
                    self.running.open(Err(Refusal::Failed));
                    Ended::CUT
                }, |((head, end), was_cut)| Ended { head: Some(head), end, was_cut }),
                () = self.running.abandoned(grace) => Ended::CUT,
                () = self.hold() => Ended::CUT,
            }
        };
        let request_sha256 = match &self.uploaded {
            None => Some(self.claim.request_sha256.clone()),
            Some(uploaded) => uploaded.get(),
        };
        self.settle(&ended, request_sha256.as_deref()).await;
        (ended.end, request_sha256)
    }

    /// Reads the answer into the log.
    async fn read(&self, job: Job) -> (Head, End) {
        let (parts, body) = super::run(job.request, job.rest).await.into_parts();
        let head = Head::of(&parts);
        self.running.open(Ok(head.clone()));
        let numbering = head.is_event_stream().then(Numbering::default);
        let end = self.pour(body, numbering).await;
        (head, end)
    }

    async fn pour(&self, mut body: Body, mut numbering: Option<Numbering>) -> End {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return End::Cut };
            let Ok(bytes) = frame.into_data() else { continue };
            let parts = match &mut numbering {
                Some(numbering) => numbering.take(&bytes),
                None => vec![Part { before: 0, bytes }],
            };
            for part in parts {
                self.running.push(part).await;
            }
        }
        End::Whole
    }

    /// Renews the lease for ever. When it is lost, the answer goes on and is not stored.
    async fn hold(&self) {
        let pause = Duration::from_millis(u64::from(self.app.gateway.replays.settings.lease_ms) / RENEWALS);
        loop {
            tokio::time::sleep(pause.max(SHORTEST_PAUSE)).await;
            match self.app.gateway.store.renew_idempotent(&self.claim, self.lease_ms()).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!("the lease of an idempotency key was lost; the answer will not be kept");
                    std::future::pending::<()>().await;
                }
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "the lease of an idempotency key can't be renewed now");
                }
            }
        }
    }

    async fn settle(&self, ended: &Ended, request_sha256: Option<&str>) {
        let stored = request_sha256.and_then(|request| ended.to_stored(request, self.running.body()));
        let store = &self.app.gateway.store;
        let settled = match stored {
            Some(Ok(outcome)) => store.finish_idempotent(&self.claim, outcome, self.ttl_ms()).await,
            Some(Err(error)) => Err(error),
            None => store.release_idempotent(&self.claim).await,
        };
        match settled {
            Ok(true) => {}
            Ok(false) => tracing::warn!("an idempotency key was taken over while its request ran"),
            Err(error) => tracing::warn!(error = %error.chain(), "what became of an idempotency key can't be written"),
        }
    }

    /// Hands on what was answered before, if this is the same request.
    async fn replay(&self, outcome: IdempotentOutcome, job: Job) -> (End, Option<String>) {
        let request_sha256 = match &self.uploaded {
            None => Some(self.claim.request_sha256.clone()),
            Some(_) => match look_through(job).await {
                Ok(request_sha256) => Some(request_sha256),
                Err(refused) => return self.hand_on(refused).await,
            },
        };
        let answer = if request_sha256.as_deref() == Some(&outcome.request_sha256) {
            outcome::to_answer(outcome).map(|found| found.ok_or(Refusal::TooLarge))
        } else {
            Ok(Err(Refusal::Reused))
        };
        match answer {
            Ok(Ok((head, body))) => self.fill(head, &body),
            Ok(Err(refusal)) => self.running.open(Err(refusal)),
            Err(error) => {
                tracing::error!(error = %error.chain(), "an outcome can't be replayed");
                self.running.open(Err(Refusal::Unreachable));
            }
        }
        (End::Whole, request_sha256)
    }

    fn fill(&self, head: Head, body: &Bytes) {
        let parts = if head.is_event_stream() {
            wire::numbering::parts(body)
        } else {
            vec![Part { before: 0, bytes: body.clone() }]
        };
        self.running.change(|log| {
            parts.into_iter().for_each(|part| log.push(part));
            log.open(Ok(head.replayed()));
        });
    }

    /// Passes an answer on that is nobody else's.
    async fn hand_on(&self, response: Response) -> (End, Option<String>) {
        let (parts, body) = response.into_parts();
        self.running.open(Ok(Head::of(&parts)));
        (self.pour(body, None).await, None)
    }

    fn lease_ms(&self) -> i64 {
        self.app.gateway.replays.settings.lease_ms.into()
    }

    fn ttl_ms(&self) -> i64 {
        i64::from(self.app.gateway.replays.settings.ttl_secs) * 1_000
    }
}

/// Reads an upload to its end without keeping it, and tells what it is, or why it can't be read.
pub(super) async fn look_through(mut job: Job) -> Result<String, Response> {
    let uploaded = Uploaded::default();
    job.request.extensions_mut().insert(Upload { uploaded: uploaded.clone(), is_kept: false });
    let response = super::run(job.request, job.rest).await;
    uploaded.get().ok_or(response)
}
