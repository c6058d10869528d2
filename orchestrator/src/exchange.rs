//! One request to one endpoint and its answer. A status is only given once the first content is known to be no error; bytes of
//! the caller's dialect pass through.

use crate::{
    Dialect, Frame, ModelBody, ModelRequest, Outcome,
    backend::is_event_stream,
    catalog::{Deployment, Engine},
    client::{AnswerBody, Unanswered, UpstreamClient},
    failure::{ANSWER_INCOMPLETE, Blame, CONNECTION_LOST, Failure, Names, Refusal, UpstreamError, judge},
    limits::{Limits, Silence},
    provider::Provider,
    reading::{Reading, Seen, read_whole},
    speech::Speech,
    spoken::Spoken,
    translate,
};
use bytes::{Bytes, BytesMut};
use chassis::trace::TRACEPARENT;
use domain::{Error, Kind, RequestContext, Result, Usage};
use futures::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use std::time::Duration;
use url::Url;

const MAX_ANSWER_BYTES: usize = 256 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;
/// The most that is held back while a stream has shown no content.
const MAX_PRELUDE_BYTES: usize = 4 << 20;
/// For the end of a finished stream to arrive, so that its connection can be used again.
const AFTER_DONE: Duration = Duration::from_millis(250);
/// As many as an answer has when it leaves us, about: a map that grows by itself is built anew several times.
const ROOM_FOR_HEADERS: usize = 24;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const BETAS: HeaderName = HeaderName::from_static("anthropic-beta");

/// Everything one call needs.
pub(crate) struct Exchange<'a> {
    pub(crate) client: &'a UpstreamClient,
    pub(crate) provider: &'a dyn Provider,
    pub(crate) deployment: &'a Deployment,
    pub(crate) speech: Speech,
    /// The endpoint's address.
    pub(crate) url: &'a Url,
    /// The model as the caller may see it named.
    pub(crate) model: &'a str,
    pub(crate) ctx: &'a RequestContext,
    pub(crate) request: &'a ModelRequest,
}

/// An answer, its first content being there.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: ModelBody,
    /// How long the first content took, if it is a stream.
    pub(crate) first_token: Option<Duration>,
    /// What a whole answer has used.
    pub(crate) usage: Option<Usage>,
    /// The code of an error that the caller has to mend.
    pub(crate) refusal: Option<String>,
}

impl Exchange<'_> {
    /// Asks once.
    pub(crate) async fn run(&self) -> Result<Answered, Failure> {
        let spoken = self.put()?;
        let limits = Limits::new(self.deployment.timeouts, self.ctx.deadline);
        let http = self.to_http(spoken.body.clone()).await.map_err(|error| Failure::new(Blame::Account, error))?;
        let is_stream = self.request.head.stream;
        let head = if is_stream { limits.first_token() } else { limits.total() };
        let sent = self.client.send(http, self.deployment.timeouts.connect);
        let response = limits.within(head, sent).await?.map_err(unreachable_server)?;
        let (parts, body) = response.into_parts();
        if !parts.status.is_success() {
            let bytes = limits.within(limits.next(), read(body, MAX_ERROR_BYTES)).await?.unwrap_or_default();
            return self.refuse(parts.status, &parts.headers, UpstreamError::from_body(&bytes));
        }
        if is_event_stream(&parts.headers) {
            self.stream(&parts.headers, body, limits, &spoken).await
        } else {
            self.whole(&parts.headers, parts.status, body, limits, &spoken).await
        }
    }

    fn put(&self) -> Result<Spoken, Failure> {
        Spoken::new(self.speech, self.request, self.deployment, self.ctx)
            .map_err(|error| Failure::new(Blame::Unfit, error))
    }

    async fn to_http(&self, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let address = self.provider.address(self.url, self.request.dialect, self.speech, self.request.head.stream);
        let mut http = Request::post(address).body(Full::new(body)).map_err(Error::internal)?;
        let headers = http.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("tandem"));
        // A third party learns nothing of our requests but what they ask.
        let is_ours = self.deployment.engine == Engine::Vllm;
        let traceparent = is_ours.then(|| self.ctx.traceparent()).flatten();
        let texts = [
            (REQUEST_ID, Some(self.ctx.request_id.as_str()).filter(|_| is_ours)),
            (BETAS, self.request.betas.as_deref()),
        ];
        for (name, text) in texts {
            headers.extend(text.and_then(|text| Some((name, HeaderValue::from_str(text).ok()?))));
        }
        headers.extend(traceparent.and_then(|text| Some((TRACEPARENT, HeaderValue::try_from(text).ok()?))));
        self.provider.authorize(headers).await?;
        Ok(http)
    }

    async fn whole(
        &self,
        headers: &HeaderMap,
        status: StatusCode,
        body: AnswerBody,
        limits: Limits,
        spoken: &Spoken,
    ) -> Result<Answered, Failure> {
        let read = limits.within(limits.total(), read(body, MAX_ANSWER_BYTES)).await?;
        let bytes = read.map_err(|cause| Failure::endpoint(cut().with_source(cause)))?;
        let (bytes, seen) = match self.understand(bytes, spoken) {
            Ok(understood) => understood,
            Err(error) => return self.refuse(error.implied_status(), headers, error),
        };
        let headers = if spoken.meaning.is_some() { json_headers() } else { content_type(headers) };
        let (usage, is_estimated) = self.usage(&seen);
        let outcome = Outcome { usage: Some(usage), is_estimated, finish: seen.finish, ..Outcome::default() };
        let body = ModelBody::whole(bytes, outcome);
        Ok(Answered { status, headers, body, first_token: None, usage: Some(usage), refusal: None })
    }

    /// The answer as the caller gets it, and what it says.
    fn understand(&self, bytes: Bytes, spoken: &Spoken) -> Result<(Bytes, Seen), UpstreamError> {
        let text = std::str::from_utf8(&bytes).map_err(|_| UpstreamError::malformed("not UTF-8"))?;
        if self.speech == Speech::Gemini && self.request.dialect == Dialect::Embeddings {
            return translate::embeddings(self.request, &bytes);
        }
        let read_as = self.speech.spoken(self.request.dialect);
        let Some(meaning) = &spoken.meaning else {
            let mut seen = read_whole(read_as, text).ok_or_else(|| UpstreamError::malformed(text))?;
            return seen.error.take().map_or(Ok((bytes, seen)), Err);
        };
        let error = read_whole(Dialect::Chat, text).ok_or_else(|| UpstreamError::malformed(text))?.error;
        if let Some(error) = error {
            return Err(error);
        }
        let answer = translate::read_answer(self.speech, &bytes)?;
        let body = translate::write_answer(self.request.dialect, &answer, meaning);
        Ok((body.to_string().into(), Seen::of_answer(&answer)))
    }

    async fn stream(
        &self,
        headers: &HeaderMap,
        mut body: AnswerBody,
        limits: Limits,
        spoken: &Spoken,
    ) -> Result<Answered, Failure> {
        let mut reading = Reading::new(spoken.grammar(self.speech, self.request));
        let mut first = BytesMut::new();
        while !reading.seen.has_content && !reading.is_over() {
            match limits.within(limits.first_token(), next_data(&mut body)).await? {
                Some(Ok(bytes)) => first.extend_from_slice(&reading.feed(bytes).map_err(not_events)?),
                Some(Err(cause)) => return Err(Failure::endpoint(cut().with_source(cause))),
                None => return Err(Failure::endpoint(cut())),
            }
            if first.len() > MAX_PRELUDE_BYTES {
                break;
            }
        }
        // Nothing has been handed on yet: even after content, another endpoint may answer in its place.
        if let Some(error) = reading.seen.error.take() {
            return self.refuse(error.implied_status(), headers, error);
        }
        let headers = if spoken.meaning.is_some() { event_headers() } else { content_type(headers) };
        let first_token = Some(limits.begun().elapsed());
        let progress = reading.progress();
        let guess = self.request.head.prompt_tokens_estimate();
        let passing =
            Passing { body, reading, silence: limits.silence(), dialect: self.request.dialect, prompt_guess: guess };
        let body = ModelBody::new(passing.frames(first.freeze())).with_progress(progress);
        Ok(Answered { status: StatusCode::OK, headers, body, first_token, usage: None, refusal: None })
    }

    fn refuse(&self, status: StatusCode, headers: &HeaderMap, error: UpstreamError) -> Result<Answered, Failure> {
        let names = Names {
            model: self.model,
            upstream_model: &self.deployment.upstream_model,
            path: self.request.dialect.path(),
        };
        match judge(status, headers, error, names) {
            Refusal::Failed(failure) => Err(failure),
            Refusal::Answer(status, object) => {
                let refusal = Some(object.code.clone().unwrap_or_default());
                let body = Bytes::from(self.request.dialect.error_object(status, object));
                let body = ModelBody::whole(body, Outcome::default());
                Ok(Answered { status, headers: json_headers(), body, first_token: None, usage: None, refusal })
            }
        }
    }

    fn usage(&self, seen: &Seen) -> (Usage, bool) {
        usage(seen, self.request.head.prompt_tokens_estimate())
    }
}

/// What was used, and whether that is a guess.
fn usage(seen: &Seen, prompt_guess: u64) -> (Usage, bool) {
    match seen.usage {
        Some(usage) => (usage, false),
        None => (Usage { input: prompt_guess, output: seen.tokens, ..Usage::default() }, true),
    }
}

/// A stream on its way through.
struct Passing {
    body: AnswerBody,
    reading: Reading,
    silence: Silence,
    dialect: Dialect,
    prompt_guess: u64,
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
                    Err(failure) => break Some(failure.error),
                }
            };
            if let Some(error) = &error {
                yield Frame::Data(self.dialect.last_event(error));
            }
            let (usage, is_estimated) = usage(&self.reading.seen, self.prompt_guess);
            let finish = self.reading.seen.finish.take();
            yield Frame::End(Box::new(Outcome { usage: Some(usage), is_estimated, finish, error, served: None }));
        }
    }

    /// The next bytes to hand on; `None` when the stream ended as it should.
    async fn step(&mut self) -> Result<Option<Bytes>, Failure> {
        if let Some(error) = self.reading.seen.error.take() {
            return Err(broken(error));
        }
        if self.reading.seen.is_done {
            // Whatever comes here says nothing any more, and what doesn't come costs a connection.
            let _ = tokio::time::timeout(AFTER_DONE, next_data(&mut self.body)).await;
            return Ok(None);
        }
        match self.silence.bound(next_data(&mut self.body)).await? {
            Some(Ok(bytes)) => self.reading.feed(bytes).map(Some).map_err(not_events),
            Some(Err(cause)) => Err(Failure::endpoint(cut().with_source(cause))),
            None => Err(Failure::endpoint(cut())),
        }
    }
}

async fn next_data(body: &mut AnswerBody) -> Option<Result<Bytes, hyper::Error>> {
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

async fn read(body: AnswerBody, limit: usize) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(body, limit).collect().await?.to_bytes())
}

/// What an error amid a stream is to the caller, who has a 200 already.
fn broken(error: UpstreamError) -> Failure {
    let status = error.implied_status();
    let nobody = Names { model: "", upstream_model: "", path: "" };
    match judge(status, &HeaderMap::new(), error, nobody) {
        Refusal::Failed(failure) => failure,
        Refusal::Answer(_, object) => Failure::endpoint(Error::invalid(object.message)),
    }
}

fn unreachable_server(cause: Unanswered) -> Failure {
    let error = match &cause {
        Unanswered::Unreachable(_) => Error::unavailable("The model server can't be reached; try again later."),
        Unanswered::Lost(_) => {
            Error::unavailable("The model server closed the connection before it answered.").with_code(CONNECTION_LOST)
        }
    };
    Failure::endpoint(error.with_source(cause))
}

fn cut() -> Error {
    Error::new(Kind::BadUpstream, "The model server ended the answer before it was complete.")
        .with_code(ANSWER_INCOMPLETE)
}

fn not_events(cause: wire::sse::SseError) -> Failure {
    let text = "The model server's event stream cannot be read.";
    Failure::endpoint(Error::new(Kind::BadUpstream, text).with_source(cause))
}

fn content_type(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(ROOM_FOR_HEADERS);
    kept.extend(headers.get(header::CONTENT_TYPE).map(|value| (header::CONTENT_TYPE, value.clone())));
    kept
}

fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))])
}

/// The headers of a stream that we write ourselves.
pub(crate) fn event_headers() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"))])
}
