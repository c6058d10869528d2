//! How the answer of a request that runs ended, and what of it is stored.

use super::{head::Head, log::End};
use bytes::Bytes;
use domain::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use store::IdempotentOutcome;

tokio::task_local! {
    /// Whether the answer that this task reads was cut although its stream has a proper end.
    static CUT: AtomicBool;
}

/// Says that the answer being read is not what was asked for: it ends in an error.
pub(crate) fn answer_was_cut() {
    // Outside of requests with a key nobody wants to know.
    CUT.try_with(|cut| cut.store(true, Ordering::Relaxed)).ok();
}

/// Runs `answering`, and says whether the answer was cut.
pub(super) async fn watched<T>(answering: impl Future<Output = T>) -> (T, bool) {
    let watched = async {
        let answer = answering.await;
        (answer, CUT.with(|cut| cut.load(Ordering::Relaxed)))
    };
    CUT.scope(AtomicBool::new(false), watched).await
}

/// What became of the request.
pub(super) struct Ended {
    pub(super) head: Option<Head>,
    pub(super) end: End,
    /// Whether its stream ended in an error.
    pub(super) was_cut: bool,
}

impl Ended {
    /// Nothing that could be handed on.
    pub(super) const CUT: Self = Self { head: None, end: End::Cut, was_cut: true };

    /// What is to be stored, if anything is.
    pub(super) fn to_stored(&self, request_sha256: &str, body: Option<Bytes>) -> Option<Result<IdempotentOutcome>> {
        let head = self.head.as_ref().filter(|head| head.is_worth_keeping())?;
        let is_whole = self.end == End::Whole && !self.was_cut;
        is_whole.then(|| {
            Ok(IdempotentOutcome {
                request_sha256: request_sha256.to_owned(),
                status: head.status.as_u16(),
                headers_json: head.to_json()?,
                body: body.map(Vec::from),
            })
        })
    }
}

/// A stored outcome as an answer; none when its body was too large.
pub(super) fn to_answer(outcome: IdempotentOutcome) -> Result<Option<(Head, Bytes)>> {
    let Some(body) = outcome.body else { return Ok(None) };
    let head = Head::from_json(outcome.status, &outcome.headers_json, &body)
        .map_err(|error| Error::internal("a stored outcome can't be read").with_source(error))?;
    Ok(Some((head, Bytes::from(body))))
}
