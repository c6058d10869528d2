//! The calls that somebody waits for: chat, completions and embeddings. Bytes pass through as they arrive.

use crate::{
    app::App,
    extract::JsonBytes,
    identity,
    ledger::{Asked, Entry},
    limits::Refusal,
    replay,
    values::Values,
    wishes,
};
use axum::{
    body::Body,
    extract::{FromRequest, Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chassis::http::ApiError;
use domain::{Caller, Error, Money, RequestContext, Result};
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderName};
use orchestrator::{Dialect, Frame, ModelBody, ModelRequest, ModelResponse, Outcome, Served};
use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

const MODEL: HeaderName = HeaderName::from_static("x-tandem-model");
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-tandem-deployment");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-tandem-attempts");
const COST: HeaderName = HeaderName::from_static("x-tandem-cost-usd");
const CACHE: HeaderName = HeaderName::from_static("x-tandem-cache");
const EXPLAIN: HeaderName = HeaderName::from_static("x-tandem-explain");
/// Headers that are added to an answer here and further out, about.
const ADDED_HEADERS: usize = 20;
const BETAS: HeaderName = HeaderName::from_static("anthropic-beta");

/// `POST /v1/chat/completions`
pub(crate) async fn chat(state: State<App>, call: Call) -> Result<Response, ApiError> {
    answer(&state, call, Dialect::Chat).await
}

/// `POST /v1/completions`
pub(crate) async fn completions(state: State<App>, call: Call) -> Result<Response, ApiError> {
    answer(&state, call, Dialect::Completions).await
}

/// `POST /v1/embeddings`
pub(crate) async fn embeddings(state: State<App>, call: Call) -> Result<Response, ApiError> {
    answer(&state, call, Dialect::Embeddings).await
}

/// `POST /v1/responses`
pub(crate) async fn responses(state: State<App>, call: Call) -> Result<Response, ApiError> {
    answer(&state, call, Dialect::Responses).await
}

/// `POST /v1/messages`
pub(crate) async fn messages(state: State<App>, call: Call) -> Result<Response, ApiError> {
    answer(&state, call, Dialect::Messages).await
}

/// `POST /v1/messages/count_tokens`
pub(crate) async fn count_tokens(state: State<App>, call: Call) -> Result<Response, ApiError> {
    answer(&state, call, Dialect::CountTokens).await
}

/// What every call brings: who asks, what they said in headers, and the request.
pub(crate) struct Call {
    caller: Arc<Caller>,
    context: RequestContext,
    patience: Option<Duration>,
    betas: Option<String>,
    body: Bytes,
}

impl FromRequest<App> for Call {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, app: &App) -> Result<Self, ApiError> {
        // Taken out, not copied: nobody else asks for them.
        let left = request.extensions_mut();
        let left = left.remove::<Arc<Caller>>().zip(left.remove::<RequestContext>());
        let (caller, context) = left.ok_or_else(|| Error::internal("a route to models has no guard"))?;
        let headers = request.headers();
        let context = RequestContext { wishes: wishes::read(headers, context.wishes)?, ..context };
        let patience = wishes::timeout(headers)?;
        let betas = headers.get(BETAS).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let JsonBytes(body) = JsonBytes::from_request(request, app).await?;
        Ok(Self { caller, context, patience, betas, body })
    }
}

async fn answer(app: &App, call: Call, dialect: Dialect) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let Call { caller, context, patience, betas, body } = call;
    let request = ModelRequest { betas, ..ModelRequest::parse(dialect, body)? };
    identity::require_model(&caller, &request.head.model)?;
    let patience = patience.or((!request.head.stream).then_some(app.bounds.request_timeout));
    let deadline = patience.and_then(|patience| begun.checked_add(patience));
    let context = RequestContext { deadline, ..context };
    let asked = Asked { caller: &caller, context: &context, request: &request, begun };
    let mut entry = match app.gateway.admit(&asked).await {
        Ok(entry) => entry,
        Err(refusal) => return Ok(refusal.into_response()),
    };
    let cut = app.gateway.drain.expired();
    let answer = tokio::select! {
        biased;
        answer = app.gateway.backend.call(&context, request) => answer,
        () = cut.cancelled() => Err(draining()),
    };
    match answer {
        Ok(answer) => {
            entry.answering(&answer);
            Ok(to_response(answer, entry, cut, dialect))
        }
        Err(error) => {
            let rates = entry.rates();
            entry.failed(&error);
            Ok(Refusal { error, rates }.into_response())
        }
    }
}

fn to_response(answer: ModelResponse, entry: Entry, cut: CancellationToken, dialect: Dialect) -> Response {
    let rates = entry.rates();
    let mut response = Response::new(if answer.is_event_stream() {
        let (body, cut) = (answer.body, Box::pin(cut.cancelled_owned()));
        let events = Events { body, entry, cut, dialect, has_ended: false };
        Body::from_stream(events.map(Ok::<_, Infallible>))
    } else {
        whole(answer.body, entry, cut)
    });
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    // At once: a map that grows by itself is built anew several times.
    response.headers_mut().reserve(ADDED_HEADERS);
    let mut values = Values::new();
    answer.served.iter().for_each(|served| tell(served, &mut values, response.headers_mut()));
    rates.write(&mut values, response.headers_mut());
    response
}

/// Says who answered.
fn tell(served: &Served, values: &mut Values, headers: &mut HeaderMap) {
    let cost = served.cost.map(Money::to_usd);
    let texts = [
        (MODEL, Some(&*served.model)),
        (DEPLOYMENT, Some(&served.deployment)),
        (COST, cost.as_deref()),
        (CACHE, served.is_cached.then_some("hit")),
        (EXPLAIN, served.explanation.as_deref()),
    ];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| values.text(text)) {
            headers.insert(name, value);
        }
    }
    headers.insert(ATTEMPTS, values.number(served.attempts));
}

/// The same as the last comment of a stream, whose cost is known only then.
fn last_comment(served: &Served) -> Bytes {
    let (model, deployment, attempts) = (&served.model, &served.deployment, served.attempts);
    let cost = served.cost.map(|cost| format!(" cost-usd={}", cost.to_usd())).unwrap_or_default();
    let cache = if served.is_cached { " cache=hit" } else { "" };
    Bytes::from(format!(": tandem model={model} deployment={deployment} attempts={attempts}{cost}{cache}\n\n"))
}

/// An event stream, ended by a typed error when the process has to go before the model is done. Frames hold whole
/// events, so the error never lands inside of one.
struct Events {
    body: ModelBody,
    entry: Entry,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    dialect: Dialect,
    has_ended: bool,
}

impl Events {
    /// The last comment, if there is anything to tell.
    fn end(&mut self, outcome: &Outcome) -> Option<Bytes> {
        self.has_ended = true;
        self.entry.ended(outcome);
        outcome.error.is_some().then(replay::answer_was_cut);
        outcome.served.as_ref().map(last_comment)
    }

    fn cut(&mut self) -> Bytes {
        self.has_ended = true;
        self.entry.cut();
        replay::answer_was_cut();
        self.dialect.last_event(&draining())
    }
}

impl Stream for Events {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        match this.body.poll_next_unpin(cx) {
            Poll::Ready(Some(Frame::Data(bytes))) => {
                this.entry.sends();
                Poll::Ready(Some(bytes))
            }
            Poll::Ready(Some(Frame::End(outcome))) => Poll::Ready(this.end(&outcome)),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => this.cut.as_mut().poll(cx).map(|()| Some(this.cut())),
        }
    }
}

/// A body that is one document.
fn whole(body: ModelBody, mut entry: Entry, cut: CancellationToken) -> Body {
    let body = match body.into_whole() {
        Ok((bytes, outcome)) if outcome.error.is_none() => {
            entry.sends();
            entry.ended(&outcome);
            return Body::from(bytes);
        }
        Ok((bytes, outcome)) => ModelBody::whole(bytes, outcome),
        Err(body) => body,
    };
    Body::from_stream(arriving(body, entry, cut))
}

/// A document that is not all there yet: when it can't be completed, the connection breaks instead of passing a part off as all.
fn arriving(mut body: ModelBody, mut entry: Entry, cut: CancellationToken) -> impl Stream<Item = io::Result<Bytes>> {
    async_stream::stream! {
        loop {
            match cut.run_until_cancelled(body.next()).await {
                Some(Some(Frame::Data(bytes))) => {
                    entry.sends();
                    yield Ok(bytes);
                }
                Some(Some(Frame::End(outcome))) => {
                    entry.ended(&outcome);
                    if let Some(error) = outcome.error {
                        yield Err(io::Error::other(error));
                    }
                    break;
                }
                Some(None) => break,
                None => {
                    entry.cut();
                    yield Err(io::Error::other(draining()));
                    break;
                }
            }
        }
    }
}

fn draining() -> Error {
    Error::unavailable("This server is being replaced and can't finish the answer; send the request again.")
        .with_code("server_draining")
}
