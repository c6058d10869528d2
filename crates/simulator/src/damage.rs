//! How injected faults look on the wire: silence, resets, cut bodies, broken JSON, single bytes.

use std::{future::pending, io, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header;
use serde_json::Value;

use crate::{faults::Fault, refusal::Refusal, serve::Connection, simulator::Ticket};

/// A part of a body; an error closes the connection without an end.
pub(crate) type Piece = Result<Bytes, io::Error>;

/// What a fault does before anything else is looked at.
///
/// # Errors
/// The answer that was asked for.
pub(crate) async fn strike(fault: &Fault, connection: Option<Connection>) -> Result<(), Refusal> {
    if fault.reset {
        if let Some(connection) = connection {
            connection.reset();
        }
        // The connection goes under this handler; without one of ours it only hangs.
        pending::<()>().await;
    }
    if fault.hang {
        pending::<()>().await;
    }
    match fault.status {
        Some(status) => Err(Refusal::injected(status, fault.retry_after)),
        None => Ok(()),
    }
}

/// The end of a body that has none, once everything before it is on its way.
pub(crate) async fn cut() -> Piece {
    // hyper writes out what it holds when the body has nothing ready.
    tokio::task::yield_now().await;
    Err(io::Error::new(io::ErrorKind::ConnectionAborted, "injected fault: cut"))
}

/// The same bytes, one at a time.
pub(crate) fn drip(
    pieces: impl Stream<Item = Piece> + Send + 'static,
    pause: Duration,
) -> impl Stream<Item = Piece> + Send + 'static {
    async_stream::stream! {
        let mut pieces = Box::pin(pieces);
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(bytes) => {
                    for position in 0..bytes.len() {
                        wait(pause).await;
                        yield Ok(bytes.slice(position..=position));
                    }
                }
                Err(error) => yield Err(error),
            }
        }
    }
}

/// A whole JSON answer, spoilt as the fault says.
pub(crate) fn whole(answer: &Value, fault: &Fault, ticket: Ticket) -> Response {
    let mut text = answer.to_string();
    let announced = text.len();
    if fault.malformed.is_some() {
        text.truncate(announced / 2);
        ticket.fail();
        return json(text.len(), Body::from(text));
    }
    if fault.cut.is_none() && fault.slow_bytes.is_none() {
        ticket.complete();
        return json(announced, Body::from(text));
    }
    let (is_cut, pause) = (fault.cut.is_some(), fault.slow_bytes);
    let pieces = async_stream::stream! {
        if is_cut {
            text.truncate(announced / 2);
            yield Ok(Bytes::from(text));
            ticket.fail();
            yield cut().await;
        } else {
            yield Ok(Bytes::from(text));
            ticket.complete();
        }
    };
    json(
        announced,
        match pause {
            Some(pause) => Body::from_stream(drip(pieces, pause)),
            None => Body::from_stream(pieces),
        },
    )
}

async fn wait(pause: Duration) {
    if pause.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(pause).await;
    }
}

fn json(length: usize, body: Body) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_LENGTH, length.to_string())];
    (headers, body).into_response()
}
