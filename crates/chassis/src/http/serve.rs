//! The listener's life: accept, serve, and end without cutting anybody off before the grace is over.

use crate::drain::Drain;
use axum::{Router, body::Body, extract::ConnectInfo};
use domain::Result;
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use std::{io, net::SocketAddr, pin::pin, time::Duration};
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

/// Serves HTTP/1.1 and HTTP/2 without TLS until `drain` begins, then waits for what is in flight, at most its grace.
///
/// # Errors
/// None today: a bad connection ends alone.
pub async fn serve(listener: TcpListener, router: Router, drain: Drain) -> Result<()> {
    let mut connections = JoinSet::new();
    let begun = drain.token();
    loop {
        tokio::select! {
            () = begun.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, router.clone(), begun.clone()));
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

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, begun: CancellationToken) {
    // Small SSE frames must not wait for Nagle. It fails only on a dead socket, which the next read reports.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request.map(Body::new))
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = begun.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error = %error, "a connection ended early");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_header_list_size(MAX_H2_HEADER_LIST);
    builder
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
