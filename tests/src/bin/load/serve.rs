//! A model server that only writes: tokens of a stream at a steady pace, as cheaply as can be, so that what is measured is what
//! stands before it.

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, net::SocketAddr, time::Duration};
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval},
};

/// What vLLM writes for a token.
const TOKEN: &[u8] = br#"data: {"id":"chatcmpl-9a1a0be3","object":"chat.completion.chunk","created":1784966400,"model":"tandem-sim","choices":[{"index":0,"delta":{"content":" sea"},"logprobs":null,"finish_reason":null,"token_ids":null}]}

"#;
/// And at the end.
const END: &[u8] = br#"data: {"id":"chatcmpl-9a1a0be3","object":"chat.completion.chunk","created":1784966400,"model":"tandem-sim","choices":[],"usage":{"prompt_tokens":14,"total_tokens":114,"completion_tokens":100}}

data: [DONE]

"#;

/// Answers every request with a stream of `tokens`, one each `gap`, until the process is ended.
pub(crate) async fn serve(bind: SocketAddr, tokens: usize, gap: Duration) -> anyhow::Result<()> {
    let listener = TcpListener::bind(bind).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request| answer(request, tokens, gap));
        // It ends with its caller.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    tokens: usize,
    gap: Duration,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    request.into_body().collect().await?;
    let mut pace = interval(gap);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let paced = stream::unfold(pace, async |mut pace| {
        pace.tick().await;
        Some((Bytes::from_static(TOKEN), pace))
    });
    let events = paced.take(tokens).chain(stream::iter([Bytes::from_static(END)]));
    let mut response = Response::new(StreamBody::new(events.map(|event| Ok(Frame::data(event)))));
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream; charset=utf-8"));
    Ok(response)
}
