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
use axum::{extract::Request, middleware::Next, response::Response};
use chassis::http::ApiError;

/// Lets a request on, once for each key it brings. Without one it costs a look at its headers.
pub(crate) async fn once(app: &App, request: Request, next: Next) -> Result<Response, ApiError> {
    if !request.headers().contains_key(said::IDEMPOTENCY_KEY) {
        return Ok(next.run(request).await);
    }
    // Apart, so that other requests don't carry its future.
    Box::pin(answer::answer(app, request, next)).await
}
