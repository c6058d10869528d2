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
use axum::{extract::Request, response::Response, routing::Route};
use chassis::http::ApiError;
use http::HeaderMap;
use tower::Service;

/// Whether a request is to be run once: it brings a key.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    headers.contains_key(said::IDEMPOTENCY_KEY)
}

/// Lets a request on to its `route`, once for each key it brings.
pub(crate) async fn once(app: &App, request: Request, route: Route) -> Result<Response, ApiError> {
    if is_wanted(request.headers()) { answer::answer(app, request, route).await } else { Ok(run(request, route).await) }
}

async fn run(request: Request, mut route: Route) -> Response {
    // Routes are always ready.
    let Ok(response) = route.call(request).await;
    response
}
