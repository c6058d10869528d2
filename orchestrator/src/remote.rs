//! A backend in another process, behind the routes of `http`. To its callers it is no different from the router.

use crate::{
    Caller, DeploymentInfo, Dialect, Frame, ModelBackend, ModelBody, ModelInfo, ModelRequest, ModelResponse, Outcome,
    Progress, Sending,
    backend::is_event_stream,
    catalog::Timeouts,
    client::{AnswerBody, UpstreamClient},
    failure::{ANSWER_INCOMPLETE, Failure},
    limits::Limits,
    link::{self, AnswerHead, CALL_PATH, DEPLOYMENTS_PATH, MODELS_PATH, Piece},
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::{Error, Kind, RequestContext, Result};
use futures::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use serde::de::DeserializeOwned;
use std::time::Duration;
use url::Url;

const MAX_SMALL_BYTES: usize = 16 << 20;
/// Only against an orchestrator that is gone without a word: it keeps the real limits itself.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    first_token: Duration::from_secs(86_400),
    idle: Duration::from_secs(3_600),
    total: Duration::from_secs(86_400),
};

/// Calls an orchestrator over HTTP.
#[derive(Debug)]
pub struct RemoteBackend {
    base: String,
    client: UpstreamClient,
    caller: Caller,
}

impl RemoteBackend {
    /// A backend at `url`, as `http://orchestrator:8080`, for a process with these credentials.
    #[must_use]
    pub fn new(url: &Url, client: UpstreamClient, caller: Caller) -> Self {
        Self { base: url.as_str().trim_end_matches('/').to_owned(), client, caller }
    }

    async fn send(&self, mut request: Request<Full<Bytes>>, limits: &Limits) -> Result<Response<AnswerBody>> {
        self.caller.authorize(request.headers_mut()).await?;
        let response =
            limits.within(limits.total(), self.client.send(request, TIMEOUTS.connect)).await.map_err(too_late)?;
        let response = response.map_err(|cause| out_of_reach().with_source(cause))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = read(body, limits).await.unwrap_or_default();
        if parts.status == StatusCode::UNAUTHORIZED || parts.status == StatusCode::FORBIDDEN {
            return Err(not_us(&body));
        }
        Err(link::read_error(parts.status, &parts.headers, &body))
    }

    /// A small answer that is read as a whole.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let limits = Limits::new(Timeouts { total: Duration::from_secs(10), ..TIMEOUTS }, None);
        let request = Request::get(format!("{}{path}", self.base)).body(Full::default());
        let response = self.send(request.map_err(Error::internal)?, &limits).await?;
        let body = read(response.into_body(), &limits).await?;
        serde_json::from_slice(&body).map_err(|cause| cut().with_source(cause))
    }
}

#[async_trait]
impl ModelBackend for RemoteBackend {
    async fn call(&self, ctx: &RequestContext, request: ModelRequest) -> Result<ModelResponse> {
        let limits = Limits::new(TIMEOUTS, ctx.deadline);
        let address = format!("{}{CALL_PATH}{}", self.base, request.dialect.as_str());
        let mut http = Request::post(address).body(Full::new(request.body)).map_err(Error::internal)?;
        *http.headers_mut() = link::to_headers(ctx);
        http.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let betas = request.betas.and_then(|betas| HeaderValue::from_str(&betas).ok());
        http.headers_mut().extend(betas.map(|betas| (link::BETAS, betas)));
        let tell = request.sending.as_ref().map(|_| (link::TELL_SENDING, HeaderValue::from_static("1")));
        http.headers_mut().extend(tell);
        let body = self.send(http, &limits).await?.into_body();
        let dialect = request.dialect;
        let mut pieces = Pieces { body, buffer: BytesMut::new(), limits, dialect, progress: Progress::default() };
        loop {
            let piece = match (pieces.next().await, &request.sending) {
                // Those who are told get their status before there is an answer: nothing of one has been cut.
                (Err(error), Some(_)) if error.code() == Some(ANSWER_INCOMPLETE) => {
                    return Err(out_of_reach().with_source(error));
                }
                (piece, _) => piece?,
            };
            match piece {
                Piece::Sending => request.sending.iter().for_each(Sending::tell),
                Piece::Head(head) => return to_response(head, pieces),
                Piece::Frame(Frame::End(outcome), _) => return Err(outcome.error.unwrap_or_else(cut)),
                Piece::Frame(..) => return Err(cut()),
            }
        }
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        self.get(MODELS_PATH).await
    }

    async fn deployments(&self) -> Result<Vec<DeploymentInfo>> {
        self.get(DEPLOYMENTS_PATH).await
    }
}

fn to_response(head: AnswerHead, pieces: Pieces) -> Result<ModelResponse> {
    let header = |(name, value): &(String, String)| {
        Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?))
    };
    let headers: HeaderMap = head.headers.iter().filter_map(header).collect();
    let is_stream = is_event_stream(&headers);
    let progress = pieces.progress.clone();
    let body = ModelBody::new(pieces.frames(is_stream)).with_progress(progress);
    Ok(ModelResponse {
        served: head.served,
        status: StatusCode::from_u16(head.status).map_err(|cause| cut().with_source(cause))?,
        headers,
        body,
    })
}

/// The answer as it arrives.
struct Pieces {
    body: AnswerBody,
    buffer: BytesMut,
    limits: Limits,
    dialect: Dialect,
    progress: Progress,
}

impl Pieces {
    async fn next(&mut self) -> Result<Piece> {
        loop {
            if let Some(piece) = link::decode(&mut self.buffer)? {
                return Ok(piece);
            }
            match self.limits.within(self.limits.next(), self.body.frame()).await.map_err(too_late)? {
                Some(Ok(frame)) => self.buffer.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(cause)) => return Err(cut().with_source(cause)),
                None => return Err(cut()),
            }
        }
    }

    fn frames(mut self, is_stream: bool) -> impl Stream<Item = Frame> + Send {
        async_stream::stream! {
            loop {
                let error = match self.next().await {
                    Ok(Piece::Frame(frame, tokens)) => {
                        if matches!(frame, Frame::Data(_)) {
                            self.progress.set(tokens);
                        }
                        yield frame;
                        continue;
                    }
                    Ok(Piece::Head(_) | Piece::Sending) => cut(),
                    Err(error) => error,
                };
                if is_stream {
                    yield Frame::Data(self.dialect.last_event(&error));
                }
                yield Frame::End(Box::new(Outcome { error: Some(error), ..Outcome::default() }));
                break;
            }
        }
    }
}

async fn read(body: AnswerBody, limits: &Limits) -> Result<Bytes> {
    let collected = limits.within(limits.next(), Limited::new(body, MAX_SMALL_BYTES).collect()).await;
    let collected = collected.map_err(too_late)?;
    Ok(collected.map_err(|cause| cut().with_source(cause))?.to_bytes())
}

fn too_late(failure: Failure) -> Error {
    failure.error
}

/// The orchestrator refuses this process; the caller's own key is fine.
fn not_us(body: &Bytes) -> Error {
    Error::new(Kind::BadUpstream, "This platform's services don't accept each other; its operator has to mend that.")
        .with_code(crate::CREDENTIALS_REFUSED)
        .with_source(format!("the orchestrator answers {}", String::from_utf8_lossy(&body[..body.len().min(500)])))
}

fn out_of_reach() -> Error {
    Error::unavailable("The service that reaches the models can't be reached; try again later.")
}

fn cut() -> Error {
    Error::new(Kind::BadUpstream, "The answer was cut on its way from the model.").with_code(ANSWER_INCOMPLETE)
}
