//! When a stream's status goes to the caller: with the first content, or when waiting longer would cut the connection. From then
//! on comments between events keep idle hops alive.

use crate::{Dialect, Frame, ModelBody, ModelResponse, Outcome, exchange::event_headers};
use bytes::Bytes;
use domain::{Error, Kind, Result};
use futures::{Stream, StreamExt};
use http::StatusCode;
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Comments come after this much silence; the strictest common hop cuts after 30 s.
const SILENCE: Duration = Duration::from_secs(10);
const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");
const MAX_REFUSAL_BYTES: usize = 1 << 20;

type Pending = Pin<Box<dyn Future<Output = Result<ModelResponse>> + Send>>;

/// Waits for `answer` until `after`, then answers in its place: a stream that goes on to wait, and tells a late failure as its
/// last event.
pub(crate) async fn late(
    answer: impl Future<Output = Result<ModelResponse>> + Send + 'static,
    after: Duration,
    dialect: Dialect,
) -> Result<ModelResponse> {
    let mut answer: Pending = Box::pin(answer);
    match timeout(after, &mut answer).await {
        Ok(Ok(response)) if is_events(&response) => {
            let ModelResponse { served, status, headers, body } = response;
            let progress = body.progress();
            let body = ModelBody::new(lively(body)).with_progress(progress);
            Ok(ModelResponse { served, status, headers, body })
        }
        Ok(answered) => Ok(answered?),
        Err(_) => {
            let body = ModelBody::new(lively(Box::pin(waiting(answer, dialect))));
            Ok(ModelResponse { served: None, status: StatusCode::OK, headers: event_headers(), body })
        }
    }
}

fn is_events(response: &ModelResponse) -> bool {
    response.status == StatusCode::OK && response.is_event_stream()
}

/// The frames of an answer that has not come yet. The first comment goes out at once.
fn waiting(answer: Pending, dialect: Dialect) -> impl Stream<Item = Frame> + Send {
    async_stream::stream! {
        yield Frame::Data(COMMENT);
        let error = match answer.await {
            Ok(response) if is_events(&response) => {
                let mut body = response.body;
                while let Some(frame) = body.next().await {
                    yield frame;
                }
                return;
            }
            Ok(response) => refusal(response).await,
            Err(error) => error,
        };
        yield Frame::Data(dialect.last_event(&error));
        yield Frame::End(Box::new(Outcome { error: Some(error), ..Outcome::default() }));
    }
}

/// A refusal that came too late for its status.
async fn refusal(response: ModelResponse) -> Error {
    #[derive(serde::Deserialize)]
    struct Body {
        error: Told,
    }
    #[derive(serde::Deserialize)]
    struct Told {
        message: String,
        code: Option<String>,
        param: Option<String>,
    }
    let status = response.status;
    let read = response.body.collect(MAX_REFUSAL_BYTES).await;
    let told = read.ok().and_then(|(bytes, _)| serde_json::from_slice::<Body>(&bytes).ok());
    match told {
        Some(Body { error }) if status.is_client_error() => {
            let told = Error::invalid(error.message);
            let told = error.code.into_iter().fold(told, Error::with_code);
            error.param.into_iter().fold(told, Error::with_param)
        }
        _ => Error::new(Kind::BadUpstream, "The model server answered a stream with something else.")
            .with_source(format!("status {}", status.as_u16())),
    }
}

/// The same frames, with a comment after each long silence. Frames hold whole events, so it never lands inside of one.
struct Lively<S> {
    frames: S,
    last: Instant,
    alarm: Pin<Box<Sleep>>,
}

fn lively<S: Stream<Item = Frame> + Send + Unpin>(frames: S) -> Lively<S> {
    let last = Instant::now();
    Lively { frames, last, alarm: Box::pin(sleep_until(last + SILENCE)) }
}

impl<S: Stream<Item = Frame> + Unpin> Stream for Lively<S> {
    type Item = Frame;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = this.frames.poll_next_unpin(cx) {
            this.last = Instant::now();
            return Poll::Ready(frame);
        }
        // Set anew only when it rings: tokens are far more frequent than silences.
        while this.alarm.as_mut().poll(cx).is_ready() {
            let is_silent = this.last.elapsed() >= SILENCE;
            if is_silent {
                this.last = Instant::now();
            }
            this.alarm.as_mut().reset(this.last + SILENCE);
            if is_silent {
                return Poll::Ready(Some(Frame::Data(COMMENT)));
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use tokio::time::sleep;

    const COMMIT: Duration = Duration::from_secs(5);

    fn events(texts: &'static [&'static str], pause: Duration) -> ModelResponse {
        let frames = stream::iter(texts).then(move |text| async move {
            sleep(pause).await;
            Frame::Data(Bytes::from_static(text.as_bytes()))
        });
        let body = ModelBody::new(Box::pin(frames.chain(stream::iter([Frame::End(Box::default())]))));
        ModelResponse { served: None, status: StatusCode::OK, headers: event_headers(), body }
    }

    async fn text(response: ModelResponse) -> (String, Outcome) {
        let (bytes, outcome) = response.body.collect(1000).await.unwrap();
        (String::from_utf8(bytes.to_vec()).unwrap(), outcome)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_passes_as_it_is() {
        let answer = async { Ok(events(&["data: a\n\n", "data: b\n\n"], Duration::from_secs(1))) };

        let response = late(answer, COMMIT, Dialect::Chat).await.unwrap();

        assert_eq!(text(response).await.0, "data: a\n\ndata: b\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_in_time_keeps_its_status() {
        let answer = async { Err(Error::unavailable("down")) };

        let error = late(answer, COMMIT, Dialect::Chat).await.unwrap_err();

        assert_eq!(error.kind(), Kind::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_waited_for_with_comments() {
        let answer = async {
            sleep(Duration::from_secs(26)).await;
            Ok(events(&["data: a\n\n"], Duration::ZERO))
        };
        let begun = Instant::now();

        let response = late(answer, COMMIT, Dialect::Chat).await.unwrap();
        let committed = begun.elapsed();

        assert_eq!(committed, COMMIT);
        assert_eq!(text(response).await.0, ": keep-alive\n\n".repeat(3) + "data: a\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_failure_is_the_last_event() {
        let answer = async {
            sleep(Duration::from_secs(6)).await;
            Err(Error::unavailable("down"))
        };

        let (text, outcome) = text(late(answer, COMMIT, Dialect::Messages).await.unwrap()).await;

        assert!(text.ends_with("\"message\":\"down\"}}\n\n") && text.contains("event: error"), "{text}");
        assert_eq!(outcome.error.unwrap().kind(), Kind::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_refusal_is_the_last_event_too() {
        let answer = async {
            sleep(Duration::from_secs(6)).await;
            let body =
                r#"{"error":{"message":"too long","type":"t","param":"messages","code":"context_length_exceeded"}}"#;
            let body = ModelBody::whole(body.into(), Outcome::default());
            let (status, headers) = (StatusCode::BAD_REQUEST, http::HeaderMap::new());
            Ok(ModelResponse { served: None, status, headers, body })
        };

        let (text, outcome) = text(late(answer, COMMIT, Dialect::Chat).await.unwrap()).await;

        assert!(text.contains("too long"), "{text}");
        assert_eq!(outcome.error.unwrap().code(), Some("context_length_exceeded"));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_between_tokens_is_filled_with_comments() {
        let answer = async { Ok(events(&["data: a\n\n", "data: b\n\n"], Duration::from_secs(15))) };

        let response = late(answer, COMMIT, Dialect::Chat).await.unwrap();

        assert_eq!(text(response).await.0, ": keep-alive\n\ndata: a\n\n: keep-alive\n\ndata: b\n\n");
    }
}
