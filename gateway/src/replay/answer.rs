//! The way of a request with a key: what it is, whether its caller may ask for it, and whom to follow.

use super::{
    Rest,
    fingerprint::{Upload, Uploaded},
    follower::Follower,
    leader::{self, Job, Leader},
    refusal::Refusal,
    replays::Place,
    running::Running,
    said::{self, Repeatable},
};
use crate::{app::App, extract, wishes};
use axum::{body::Body, extract::Request, response::Response};
use chassis::http::ApiError;
use domain::{Caller, Error, Kind, Result, Scope};
use std::{sync::Arc, time::Duration};
use store::{IdempotencyClaim, IdempotencyKey};
use tracing::Instrument;

/// Stands for the hash of an upload until its form has been read.
const UPLOAD: &str = "upload";

pub(super) async fn answer(app: &App, request: Request, rest: Rest) -> Result<Response, ApiError> {
    let what = Repeatable::of(request.method(), request.uri().path());
    let caller = request.extensions().get::<Arc<Caller>>().cloned();
    // What this caller may not do has no outcome; whoever refuses it knows the words.
    let (what, caller) = match (what, caller) {
        (Some(what), Some(caller)) if caller.scopes.contains(scope(what)) => (what, caller),
        _ => return Ok(super::run(request, rest).await),
    };
    let key = IdempotencyKey { tenant: caller.tenant.clone(), key_sha256: said::key_sha256(request.headers())? };
    let after = said::last_event(request.headers())?;
    let patience = wishes::timeout(request.headers())?;
    let asked = if what == Repeatable::File {
        Asked { key, request_sha256: UPLOAD.to_owned(), after, request }
    } else {
        let (request, request_sha256) = whole(app, request).await?;
        if what == Repeatable::Inference && !may_ask(&caller, request.body()) {
            return Ok(super::run(request.map(Body::from), rest).await);
        }
        Asked { key, request_sha256, after, request: request.map(Body::from) }
    };
    within(patience, asked.answer(app, rest)).await
}

struct Asked {
    key: IdempotencyKey,
    request_sha256: String,
    after: u64,
    request: Request,
}

impl Asked {
    async fn answer(self, app: &App, rest: Rest) -> Result<Response, ApiError> {
        let replays = &app.gateway.replays;
        match replays.enter(&self.key, &self.request_sha256, self.after).map_err(Refusal::error)? {
            Place::First(running, follower) => {
                let (leader, job) = self.leader(app, running, rest);
                replays.tasks.spawn(leader.lead(job).in_current_span());
                follower.answer(true).await
            }
            Place::Later(follower) if self.request_sha256 == UPLOAD => {
                compare(follower, Job { request: self.request, rest }).await
            }
            Place::Later(follower) => follower.answer(false).await,
        }
    }

    fn leader(self, app: &App, running: Arc<Running>, rest: Rest) -> (Leader, Job) {
        let mut request = self.request;
        let uploaded = (self.request_sha256 == UPLOAD).then(Uploaded::default);
        if let Some(uploaded) = uploaded.clone() {
            request.extensions_mut().insert(Upload { uploaded, is_kept: true });
        }
        let owner = app.gateway.replays.owner();
        let claim = IdempotencyClaim { key: self.key, owner, request_sha256: self.request_sha256 };
        (Leader { app: app.clone(), running, claim, uploaded }, Job { request, rest })
    }
}

/// An upload while another with the same key runs: both have to be read before anybody can tell whether they are the same.
async fn compare(mut follower: Follower, job: Job) -> Result<Response, ApiError> {
    let ours = match leader::look_through(job).await {
        Ok(ours) => ours,
        Err(refused) => return Ok(refused),
    };
    if follower.request_sha256().await.map_err(Refusal::error)? != ours {
        return Err(Refusal::Reused.error().into());
    }
    follower.answer(false).await
}

async fn whole(app: &App, request: Request) -> Result<(http::Request<bytes::Bytes>, String)> {
    let (parts, body) = request.into_parts();
    let body = extract::read(&parts.headers, body, app.bounds).await?;
    let request_sha256 = said::request_sha256(&parts.method, &parts.uri, &body);
    Ok((http::Request::from_parts(parts, body), request_sha256))
}

fn scope(what: Repeatable) -> Scope {
    match what {
        Repeatable::Inference => Scope::Inference,
        Repeatable::File => Scope::Files,
        Repeatable::Batch => Scope::Batches,
    }
}

/// Another key of the tenant may have been allowed more.
fn may_ask(caller: &Caller, body: &[u8]) -> bool {
    wire::head::peek(body).is_ok_and(|head| caller.models.allows(&head.model))
}

async fn within(
    patience: Option<Duration>,
    answer: impl Future<Output = Result<Response, ApiError>>,
) -> Result<Response, ApiError> {
    let Some(patience) = patience else { return answer.await };
    tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| {
        let text = format!("The request got no answer within {} seconds.", patience.as_secs_f64());
        Err(Error::new(Kind::Timeout, text).with_code("request_timeout").into())
    })
}
