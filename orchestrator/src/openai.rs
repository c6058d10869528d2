//! One deployment that speaks OpenAI's API: vLLM, llama.cpp, OpenAI itself. Bytes pass through; a status is only given
//! once the first event is known to be no error.

use crate::{
    Dialect, Frame, ModelBody, ModelRequest, ModelResponse, Outcome,
    catalog::Deployment,
    client::UpstreamClient,
    failure::{Names, Refusal, UpstreamError, judge},
    limits::Limits,
    side_reader::{Seen, SideReader},
};
use bytes::{Bytes, BytesMut};
use domain::{Error, Kind, RequestContext, Result};
use futures::Stream;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use secrecy::ExposeSecret;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const MAX_ANSWER_BYTES: usize = 256 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;
/// For the end of a finished stream to arrive, so that its connection can be used again.
const AFTER_DONE: Duration = Duration::from_millis(250);

/// Calls one deployment of one model.
#[derive(Debug)]
pub(crate) struct Adapter {
    pub(crate) deployment: Deployment,
    model: String,
    client: UpstreamClient,
    in_flight: Arc<AtomicUsize>,
}

/// Counts a call as long as it lives.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Adapter {
    pub(crate) fn new(model: &str, deployment: Deployment, client: UpstreamClient) -> Self {
        Self { deployment, model: model.to_owned(), client, in_flight: Arc::default() }
    }

    /// How many calls run now.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Asks the deployment once. `attempts` of the answer is left for the router to fill.
    pub(crate) async fn call(&self, ctx: &RequestContext, request: &ModelRequest) -> Result<ModelResponse> {
        let in_flight = InFlight::enter(&self.in_flight);
        let limits = Limits::new(self.deployment.timeouts, ctx.deadline);
        let upstream = self.client.send(self.to_http(ctx, request)?, self.deployment.timeouts.connect);
        let head = if request.head.stream { limits.first_token() } else { limits.total() };
        let (parts, body) = limits.within(head, upstream).await?.map_err(unreachable_server)?.into_parts();
        if !parts.status.is_success() {
            let bytes = limits.within(limits.next(), read(body, MAX_ERROR_BYTES)).await?.unwrap_or_default();
            let error = UpstreamError::from_body(&bytes);
            return self.refuse(parts.status, &parts.headers, error, request.dialect);
        }
        let headers = content_type(&parts.headers);
        if is_event_stream(&headers) {
            self.stream(headers, body, limits, in_flight, request.dialect).await
        } else {
            self.whole(headers, parts.status, body, limits, request.dialect).await
        }
    }

    fn to_http(&self, ctx: &RequestContext, request: &ModelRequest) -> Result<Request<Full<Bytes>>> {
        let body = wire::head::splice_model(&request.body, &request.head.model_span, &self.deployment.upstream_model);
        let address = format!("{}{}", self.deployment.url.as_str().trim_end_matches('/'), request.dialect.operation());
        let mut http = Request::post(address)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "tandem")
            .header("x-request-id", ctx.request_id.as_str());
        if let Some(traceparent) = &ctx.traceparent {
            http = http.header("traceparent", traceparent);
        }
        if let Some(key) = &self.deployment.api_key {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).map_err(Error::internal)?;
            value.set_sensitive(true);
            http = http.header(header::AUTHORIZATION, value);
        }
        http.body(Full::new(body)).map_err(Error::internal)
    }

    async fn whole(
        &self,
        headers: HeaderMap,
        status: StatusCode,
        body: Incoming,
        limits: Limits,
        dialect: Dialect,
    ) -> Result<ModelResponse> {
        let bytes = limits
            .within(limits.total(), read(body, MAX_ANSWER_BYTES))
            .await?
            .map_err(|cause| cut().with_source(cause))?;
        let mut seen = Seen::default();
        if !std::str::from_utf8(&bytes).is_ok_and(|text| seen.read(text)) {
            return Err(Error::new(Kind::BadUpstream, "The model server's answer is not JSON."));
        }
        if let Some(error) = seen.error.take() {
            return self.refuse(error.implied_status(), &headers, error, dialect);
        }
        let outcome = Outcome { usage: seen.usage, finish: seen.finish, error: None };
        Ok(self.respond(status, headers, ModelBody::whole(bytes, outcome)))
    }

    async fn stream(
        &self,
        headers: HeaderMap,
        mut body: Incoming,
        limits: Limits,
        in_flight: InFlight,
        dialect: Dialect,
    ) -> Result<ModelResponse> {
        let mut reader = SideReader::new();
        let mut first = BytesMut::new();
        while !reader.seen.has_events {
            match limits.within(limits.first_token(), next_data(&mut body)).await? {
                Some(Ok(bytes)) => first.extend_from_slice(&reader.feed(bytes).map_err(not_events)?),
                Some(Err(cause)) => return Err(cut().with_source(cause)),
                None => return Err(cut()),
            }
        }
        if let Some(error) = reader.seen.error.take() {
            return self.refuse(error.implied_status(), &headers, error, dialect);
        }
        let stream = Passing { body, reader, limits, in_flight }.frames(first.freeze());
        Ok(self.respond(StatusCode::OK, headers, ModelBody::new(stream)))
    }

    fn refuse(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        error: UpstreamError,
        dialect: Dialect,
    ) -> Result<ModelResponse> {
        let names = Names { model: &self.model, upstream_model: &self.deployment.upstream_model, path: dialect.path() };
        match judge(status, headers, error, names) {
            Refusal::Failed(error) => Err(error),
            Refusal::Answer(status, body) => {
                let headers =
                    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
                let body = ModelBody::whole(Bytes::from(body.to_json()), Outcome::default());
                Ok(self.respond(status, headers, body))
            }
        }
    }

    fn respond(&self, status: StatusCode, headers: HeaderMap, body: ModelBody) -> ModelResponse {
        ModelResponse { served_by: self.deployment.name.clone(), attempts: 1, status, headers, body }
    }
}

/// A stream on its way through.
struct Passing {
    body: Incoming,
    reader: SideReader,
    limits: Limits,
    in_flight: InFlight,
}

impl Passing {
    fn frames(mut self, first: Bytes) -> impl Stream<Item = Frame> + Send {
        async_stream::stream! {
            yield Frame::Data(first);
            let error = loop {
                match self.step().await {
                    Ok(Some(bytes)) if bytes.is_empty() => {}
                    Ok(Some(bytes)) => yield Frame::Data(bytes),
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            if let Some(error) = &error {
                yield Frame::Data(wire::sse::encode_data(&chassis::error_body(error).to_json()));
            }
            let Seen { usage, finish, .. } = self.reader.seen;
            drop(self.in_flight);
            yield Frame::End(Outcome { usage, finish, error });
        }
    }

    /// The next bytes to hand on; `None` when the stream ended as it should.
    async fn step(&mut self) -> Result<Option<Bytes>> {
        if let Some(error) = self.reader.seen.error.take() {
            return Err(broken(error));
        }
        if self.reader.seen.is_done {
            let _ = tokio::time::timeout(AFTER_DONE, next_data(&mut self.body)).await;
            return Ok(None);
        }
        match self.limits.within(self.limits.next(), next_data(&mut self.body)).await? {
            Some(Ok(bytes)) => self.reader.feed(bytes).map(Some).map_err(not_events),
            Some(Err(cause)) => Err(cut().with_source(cause)),
            None => Err(cut()),
        }
    }
}

async fn next_data(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                if let Ok(bytes) = frame.into_data() {
                    return Some(Ok(bytes));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

async fn read(body: Incoming, limit: usize) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(body, limit).collect().await?.to_bytes())
}

/// What an error amid a stream is to the caller, who has a 200 already.
fn broken(error: UpstreamError) -> Error {
    let status = error.implied_status();
    let nobody = Names { model: "", upstream_model: "", path: "" };
    match judge(status, &HeaderMap::new(), error, nobody) {
        Refusal::Failed(error) => error,
        Refusal::Answer(_, body) => Error::invalid(body.error.message),
    }
}

fn unreachable_server(cause: hyper_util::client::legacy::Error) -> Error {
    let text = if cause.is_connect() {
        "The model server can't be reached; try again later."
    } else {
        "The model server closed the connection before it answered."
    };
    Error::unavailable(text).with_source(cause)
}

fn cut() -> Error {
    Error::new(Kind::BadUpstream, "The model server ended the answer before it was complete.")
        .with_code("answer_incomplete")
}

fn not_events(cause: wire::sse::SseError) -> Error {
    Error::new(Kind::BadUpstream, "The model server's event stream cannot be read.").with_source(cause)
}

fn content_type(headers: &HeaderMap) -> HeaderMap {
    headers.get(header::CONTENT_TYPE).map(|value| (header::CONTENT_TYPE, value.clone())).into_iter().collect()
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    value.len() >= 17 && value[..17].eq_ignore_ascii_case(b"text/event-stream")
}
