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
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::watch};

/// What vLLM writes for a token.
const TOKEN: &[u8] = br#"data: {"id":"chatcmpl-9a1a0be3","object":"chat.completion.chunk","created":1784966400,"model":"tandem-sim","choices":[{"index":0,"delta":{"content":" sea"},"logprobs":null,"finish_reason":null,"token_ids":null}]}

"#;
/// And at the end.
const END: &[u8] = br#"data: {"id":"chatcmpl-9a1a0be3","object":"chat.completion.chunk","created":1784966400,"model":"tandem-sim","choices":[],"usage":{"prompt_tokens":14,"total_tokens":114,"completion_tokens":100}}

data: [DONE]

"#;

/// So many moments of a gap at which streams may have their tokens.
const BEATS: usize = 50;

/// Says when tokens are due, each stream's one gap apart, and different ones' not all at once. A thread of its own: the clock of the
/// runtime tells no less than a millisecond apart, and tokens that come together wait for each other.
struct Metronome {
    beats: Vec<watch::Sender<()>>,
    /// The last one.
    now: AtomicUsize,
}

impl Metronome {
    fn start(gap: Duration) -> Arc<Self> {
        let beats = (0..BEATS).map(|_| watch::Sender::new(())).collect();
        let metronome = Arc::new(Self { beats, now: AtomicUsize::new(0) });
        let beating = metronome.clone();
        // It ends with the process.
        thread::spawn(move || beating.beat(gap / BEATS as u32));
        metronome
    }

    fn beat(&self, pause: Duration) {
        let mut due = Instant::now();
        // Who follows before the first beat follows number 0, which comes last.
        for beat in (0..BEATS).cycle().skip(1) {
            due += pause;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.now.store(beat, Ordering::Relaxed);
            self.beats[beat].send_replace(());
        }
    }

    /// Told once a gap from now on.
    fn follow(&self) -> watch::Receiver<()> {
        self.beats[self.now.load(Ordering::Relaxed)].subscribe()
    }
}

/// Answers every request with a stream of `tokens`, the first at once and then one each `gap`, until the process is ended.
pub(crate) async fn serve(bind: SocketAddr, tokens: usize, gap: Duration) -> anyhow::Result<()> {
    let listener = TcpListener::bind(bind).await?;
    let metronome = Metronome::start(gap);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let metronome = metronome.clone();
        let service = service_fn(move |request| answer(request, tokens, metronome.clone()));
        // It ends with its caller.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    tokens: usize,
    metronome: Arc<Metronome>,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    request.into_body().collect().await?;
    let paced = stream::unfold(metronome.follow(), async |mut beat| {
        beat.changed().await.ok()?;
        Some((Bytes::from_static(TOKEN), beat))
    });
    let first = stream::iter([Bytes::from_static(TOKEN)]);
    let events = first.chain(paced).take(tokens).chain(stream::iter([Bytes::from_static(END)]));
    let mut response = Response::new(StreamBody::new(events.map(|event| Ok(Frame::data(event)))));
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream; charset=utf-8"));
    Ok(response)
}
