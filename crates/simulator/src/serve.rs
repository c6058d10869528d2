//! The accept loop: plain HTTP/1.1 like vLLM's, with a handle on every connection so that a fault can reset it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use http::Request;
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::simulator::Simulator;

/// How long to wait when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A handle on the TCP connection that a request came over.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    reset: CancellationToken,
}

impl Connection {
    /// Drops the connection at once; the peer sees a reset.
    pub(crate) fn reset(&self) {
        self.reset.cancel();
    }
}

/// Serves until `shutdown`, then drops every connection at once, as a server that is killed does.
pub async fn serve(listener: TcpListener, sim: Arc<Simulator>, shutdown: CancellationToken) {
    let router = TowerToHyperService::new(sim.routes());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _peer)) => {
                    connections.spawn(serve_connection(socket, router.clone()));
                }
                Err(error) => {
                    warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

async fn serve_connection(socket: TcpStream, router: TowerToHyperService<axum::Router>) {
    // A token is smaller than a segment: it must not wait for the next one.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let connection = Connection { reset: CancellationToken::new() };
    let io = ResettableIo { inner: TokioIo::new(socket), connection: connection.clone() };
    let handle = connection.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(handle.clone());
        router.call(request.map(Body::new))
    });
    let served = http1::Builder::new().header_read_timeout(None).serve_connection(io, service);
    // How a connection ends is the client's business, or an injected fault.
    tokio::select! {
        () = connection.reset.cancelled() => {}
        _ended = served => {}
    }
}

/// A socket that is closed with a reset once its connection asked for one.
struct ResettableIo {
    inner: TokioIo<TcpStream>,
    connection: Connection,
}

impl Drop for ResettableIo {
    fn drop(&mut self) {
        if self.connection.reset.is_cancelled() {
            // If it fails, the peer sees an orderly end instead; it is closed in any case.
            let _ = self.inner.inner().set_zero_linger();
        }
    }
}

impl Read for ResettableIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl Write for ResettableIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}
