//! A connection to a model server that has no task of its own: whoever waits for an answer drives it. What comes from the server reaches
//! its caller in one wake-up, where a connection with a task would take three.

use bytes::Bytes;
use chassis::wake::WakeFlag;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};
use tokio::net::TcpStream;

/// The bytes below HTTP.
pub(super) type Wire = MaybeHttpsStream<TokioIo<TcpStream>>;

/// One request after the other. Dropping it closes it.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    http: http1::Connection<Wire, Full<Bytes>>,
    flag: WakeFlag,
}

impl Connection {
    pub(super) async fn new(wire: Wire) -> hyper::Result<Self> {
        let (sender, http) = http1::handshake(wire).await?;
        Ok(Self { sender, http, flag: WakeFlag::default() })
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// With the request, where none of it was sent.
    pub(super) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let Self { sender, http, flag } = self;
        let mut answer = pin!(sender.try_send_request(request));
        poll_fn(|cx| {
            flag.poll(cx, |cx| {
                let _ = turn(http, cx);
                answer.as_mut().poll(cx)
            })
        })
        .await
    }

    /// The next piece of an answer's body.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Self { http, flag, .. } = self;
        flag.poll(cx, |cx| {
            let _ = turn(http, cx);
            Pin::new(&mut *body).poll_frame(cx)
        })
    }

    /// Whether the last request is over on both sides. Nobody is woken for the connection from here on.
    pub(super) fn rest(&mut self) -> bool {
        self.flag.reset();
        self.sender.is_ready() || self.is_free()
    }

    /// Whether it takes another request: the server has not hung up, as far as is known.
    pub(super) fn is_free(&mut self) -> bool {
        turn(&mut self.http, &mut self.flag.context()).is_pending() && self.sender.is_ready()
    }
}

/// Moves what can be moved. How a connection ends is told to whoever waits for its answer.
fn turn(http: &mut http1::Connection<Wire, Full<Bytes>>, cx: &mut Context<'_>) -> Poll<()> {
    Pin::new(http).poll(cx).map(drop)
}
