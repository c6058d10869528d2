//! Requests with an `Idempotency-Key`: run once, answered as often as asked. The one who runs is a task that reads the whole
//! answer into a log; every client, the first too, follows the log, so that one who drops may come back.

mod answer;
mod fingerprint;
mod follower;
mod head;
mod leader;
mod log;
mod outcome;
mod refusal;
mod replays;
mod running;
mod said;
mod settings;

pub(crate) use fingerprint::{Upload, Uploaded};
pub(crate) use outcome::answer_was_cut;
pub(crate) use replays::Replays;
pub use settings::ReplaySettings;

use crate::app::App;
use axum::{extract::Request, response::Response};
use chassis::http::ApiError;
use http::HeaderMap;
use std::convert::Infallible;
use tower::{ServiceExt, util::BoxCloneSyncService};

/// The rest of a request's way: its route, behind the guard.
pub(crate) type Rest = BoxCloneSyncService<Request, Response, Infallible>;

/// Whether a request is to be run once: it brings a key.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    headers.contains_key(said::IDEMPOTENCY_KEY)
}

/// Lets a request go on its way, once for each key it brings.
pub(crate) async fn once(app: &App, request: Request, rest: Rest) -> Result<Response, ApiError> {
    if is_wanted(request.headers()) { answer::answer(app, request, rest).await } else { Ok(run(request, rest).await) }
}

async fn run(request: Request, rest: Rest) -> Response {
    let Ok(response) = rest.oneshot(request).await;
    response
}
