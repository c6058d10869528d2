//! The listener's life: accept, serve, and end without cutting anybody off before the grace is over.

use crate::drain::Drain;
use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Longer than the 600 s for which Google's load balancers keep an idle connection: whoever closes first while the
/// other sends makes a 502, so it must be them.
const IDLE: Duration = Duration::from_secs(620);
/// After the grace, time for streams to say that they end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Out of descriptors: a moment for connections to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const MAX_H2_HEADER_LIST: u32 = 256 << 10;
/// A connection of HTTP/2 begins with a method that is kept for it (RFC 9113, section 3.4).
const HTTP2: &[u8; 4] = b"PRI ";
/// Less than that has come: a moment for the rest, so many times.
const REST_OF_FIRST: Duration = Duration::from_millis(5);
const LOOKS: u32 = 100;

/// How the two versions are spoken.
struct Versions {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

/// Serves HTTP/1.1 and HTTP/2 without TLS until `drain` begins, then waits for what is in flight, at most its grace.
///
/// # Errors
/// None today: a bad connection ends alone.
pub async fn serve(listener: TcpListener, router: Router, drain: Drain) -> domain::Result<()> {
    let mut connections = JoinSet::new();
    let versions = Arc::new(Versions::new());
    let begun = drain.token();
    loop {
        tokio::select! {
            () = begun.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, router.clone(), versions.clone(), begun.clone()));
                }
                Err(error) => wait_out(&error, &begun).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    finish(connections, &drain).await;
    Ok(())
}

/// A connection that died before it was accepted is nobody's problem; a full descriptor table needs a moment.
async fn wait_out(error: &io::Error, begun: &CancellationToken) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::select! {
        () = begun.cancelled() => {}
        () = time::sleep(ACCEPT_PAUSE) => {}
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    versions: Arc<Versions>,
    begun: CancellationToken,
) {
    // Small SSE frames must not wait for Nagle. It fails only on a dead socket, which the next read reports.
    let _ = stream.set_nodelay(true);
    let first = begun.run_until_cancelled(time::timeout(IDLE, is_http2(&stream))).await;
    // Who has said nothing yet is told nothing.
    let Some(Ok(Some(is_http2))) = first else { return };
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request.map(Body::new))
    });
    let io = TokioIo::new(stream);
    let ended = if is_http2 {
        // Boxed: most connections need less room.
        to_its_end(Box::pin(versions.http2.serve_connection(io, service)).as_mut(), &begun).await
    } else {
        to_its_end(pin!(versions.http1.serve_connection(io, service)), &begun).await
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error = %error, "a connection ended early");
    }
}

/// Which version the first bytes are of; `None` when they don't come. They are only looked at: an HTTP library that looks by reading
/// has to put them before the rest again, in a buffer of twice the size.
async fn is_http2(stream: &TcpStream) -> Option<bool> {
    let mut first = [0; HTTP2.len()];
    for _ in 0..LOOKS {
        match stream.peek(&mut first).await {
            Ok(0) | Err(_) => return None,
            Ok(count) if first[..count] != HTTP2[..count] => return Some(false),
            Ok(count) if count == HTTP2.len() => return Some(true),
            Ok(_) => time::sleep(REST_OF_FIRST).await,
        }
    }
    // Who has gone meanwhile is found out by reading.
    Some(false)
}

async fn to_its_end<C>(mut connection: Pin<&mut C>, begun: &CancellationToken) -> Result<(), C::Error>
where
    C: GracefulConnection,
{
    tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = begun.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

impl Versions {
    fn new() -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(IDLE);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .max_header_list_size(MAX_H2_HEADER_LIST);
        Self { http1, http2 }
    }
}

async fn finish(mut connections: JoinSet<()>, drain: &Drain) {
    tokio::select! {
        () = all_closed(&mut connections) => return,
        () = drain.expired().cancelled_owned() => {}
    }
    if time::timeout(LAST_WORDS, all_closed(&mut connections)).await.is_err() {
        tracing::warn!(connections = connections.len(), "the grace is over: connections are cut");
        connections.shutdown().await;
    }
}

async fn all_closed(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}
