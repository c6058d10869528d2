//! `GET /v1/batches/{id}/results`: the records of a batch, from its first line on without a gap, before it has ended too. As JSON
//! Lines a page at a time, or as server-sent events until the end. A record is the line of the output or error file with its
//! number, `line`, before everything else.

use crate::{
    app::{App, Gateway},
    batches,
    extract::{ApiPath, ApiQuery},
    paging,
};
use async_stream::try_stream;
use axum::{
    Extension,
    body::Body,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use bytes::{Bytes, BytesMut};
use chassis::http::ApiError;
use domain::{BatchId, Error, RequestContext, Result};
use futures::Stream;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use store::{BatchRow, ResultLine, Results};

/// The number of the last line of a page; the `after_line` of the next one.
const LAST_LINE: HeaderName = HeaderName::from_static("x-tandem-last-line");
/// Whether there are or will be records after this page.
const HAS_MORE: HeaderName = HeaderName::from_static("x-tandem-has-more");
const STATUS: HeaderName = HeaderName::from_static("x-tandem-batch-status");
const LAST_EVENT_ID: &str = "last-event-id";

/// Lines of a tail that are looked for at once.
const TAIL_LINES: i64 = 1_000;
/// Pause of a tail between two looks that find nothing.
const TAIL_PAUSE: Duration = Duration::from_secs(1);
/// A tail is never silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
pub(crate) struct ResultsQuery {
    after_line: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/batches/{id}/results`
pub(crate) async fn read(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
    ApiQuery(query): ApiQuery<ResultsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let batch = batches::find(&app.gateway, &context, &id).await?;
    let after = after_line("after_line", query.after_line.as_deref())?;
    if !wants_events(&headers) {
        let limit = paging::limit(query.limit.as_deref(), 1_000, 10_000)?;
        return Ok(page(&app.gateway, &batch, after, limit).await?);
    }
    let seen = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
    let after = after_line(LAST_EVENT_ID, seen)?.max(after);
    let events = tail(Arc::clone(&app.gateway), batch.id, after);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|kind| kind.trim().split(';').next() == Some("text/event-stream"))
}

/// Reads the number of the last line that the caller has; 0 is none.
fn after_line(param: &str, given: Option<&str>) -> Result<i64> {
    let Some(given) = given else { return Ok(0) };
    given.parse().ok().filter(|line: &i64| *line >= 0).ok_or_else(|| {
        let text = format!("Invalid `{param}`: '{given}'. It is the number of the last line you have; 0 for none.");
        Error::invalid(text).with_param(param)
    })
}

async fn page(gateway: &Gateway, batch: &BatchRow, after: i64, limit: i64) -> Result<Response> {
    let results = gateway.store.results(&gateway.blobs, batch, after, limit).await?;
    let last_line = results.last_line();
    let has_more = !batch.status.is_terminal() || last_line < batch.total_lines;
    let mut response = Body::from_stream(json_lines(results)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    headers.insert(LAST_LINE, HeaderValue::from(last_line));
    headers.insert(HAS_MORE, HeaderValue::from_static(if has_more { "true" } else { "false" }));
    headers.insert(STATUS, HeaderValue::from_static(batch.status.as_str()));
    Ok(response)
}

/// The records, those of one shard at a time. A failure cuts the body, so that half a page never looks like a whole one.
fn json_lines(mut results: Results) -> impl Stream<Item = Result<Bytes>> {
    try_stream! {
        while let Some(lines) = results.next().await.inspect_err(report)? {
            let mut bytes = BytesMut::new();
            for line in &lines {
                append_numbered(line, &mut bytes);
                bytes.extend_from_slice(b"\n");
            }
            yield bytes.freeze();
        }
    }
}

/// Every record after `after` as an event `result`, and the batch itself as the last one: `batch.completed`, `batch.failed`,
/// `batch.expired` or `batch.cancelled`. What goes wrong is an event `error`; the caller comes back with `Last-Event-ID`.
fn tail(gateway: Arc<Gateway>, id: BatchId, after: i64) -> impl Stream<Item = Result<Event, axum::Error>> {
    async_stream::stream! {
        let mut after = after;
        loop {
            let (batch, mut results) = match look(&gateway, &id, after).await {
                Ok(found) => found,
                Err(error) => {
                    yield failure(&error);
                    return;
                }
            };
            let is_news = results.last_line() > after;
            after = results.last_line();
            loop {
                match results.next().await {
                    Ok(Some(lines)) => for line in lines { yield result(&line); },
                    Ok(None) => break,
                    Err(error) => {
                        yield failure(&error);
                        return;
                    }
                }
            }
            if batch.status.is_terminal() && after >= batch.total_lines {
                yield ended(&gateway, batch).await;
                return;
            }
            let goes_on = if is_news { !gateway.drain.has_begun() } else { pause(&gateway).await };
            if !goes_on {
                yield failure(&Error::unavailable("This server goes away; ask again with `Last-Event-ID`."));
                return;
            }
        }
    }
}

async fn look(gateway: &Gateway, id: &BatchId, after: i64) -> Result<(BatchRow, Results)> {
    let batch = gateway.store.batch_by_id(id).await?.ok_or_else(|| batches::no_such_batch(id.as_str()))?;
    let results = gateway.store.results(&gateway.blobs, &batch, after, TAIL_LINES).await?;
    Ok((batch, results))
}

/// `false`: the process goes away.
async fn pause(gateway: &Gateway) -> bool {
    gateway.drain.token().run_until_cancelled(tokio::time::sleep(TAIL_PAUSE)).await.is_some()
}

fn result(line: &ResultLine) -> Result<Event, axum::Error> {
    let mut json = BytesMut::new();
    append_numbered(line, &mut json);
    // JSON is UTF-8.
    Ok(Event::default().event("result").id(line.line.to_string()).data(String::from_utf8_lossy(&json)))
}

async fn ended(gateway: &Gateway, batch: BatchRow) -> Result<Event, axum::Error> {
    let name = format!("batch.{}", batch.status);
    match batches::show(gateway, batch).await {
        Ok(batch) => Event::default().event(name).json_data(batch),
        Err(error) => failure(&error),
    }
}

fn failure(error: &Error) -> Result<Event, axum::Error> {
    report(error);
    Event::default().event("error").json_data(chassis::error_body(error))
}

fn report(error: &Error) {
    tracing::warn!(error = %error.chain(), "results of a batch are cut");
}

/// The record with the number of its line in front: `{"line":7,` instead of `{`.
fn append_numbered(line: &ResultLine, bytes: &mut BytesMut) {
    bytes.extend_from_slice(format!("{{\"line\":{},", line.line).as_bytes());
    bytes.extend_from_slice(line.json.get(1..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Side;

    #[test]
    fn a_record_gets_its_number_and_keeps_its_bytes() {
        let mut bytes = BytesMut::new();

        append_numbered(
            &ResultLine { line: 7, side: Side::Ok, json: Bytes::from_static(br#"{"id": "x"}"#) },
            &mut bytes,
        );

        assert_eq!(&bytes[..], br#"{"line":7,"id": "x"}"#);
    }

    #[test]
    fn a_line_is_a_number_from_0_on() {
        assert_eq!(after_line("after_line", None).unwrap(), 0);
        assert_eq!(after_line("after_line", Some("12")).unwrap(), 12);
        for bad in ["-1", "", "x", "1.5"] {
            assert_eq!(after_line("after_line", Some(bad)).unwrap_err().param(), Some("after_line"), "{bad}");
        }
    }

    #[test]
    fn events_are_sent_to_those_who_accept_them() {
        let accepting = |value| wants_events(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]));

        assert!(accepting("text/event-stream") && accepting("application/json, text/event-stream;q=0.9"));
        assert!(!accepting("*/*") && !accepting("application/jsonl"));
    }
}
