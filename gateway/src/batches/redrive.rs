//! `POST /v1/batches/{id}/redrive`: a new batch of those lines of an ended one that were not answered. Their text is copied from
//! the input, so nothing is uploaded again; the lines keep their `custom_id`.

use crate::{
    app::{App, Gateway},
    batches::{find, ring, show},
    extract::{ApiJson, ApiPath},
    identity,
};
use axum::{Extension, Json, extract::State};
use bytes::{Bytes, BytesMut};
use chassis::http::ApiError;
use domain::{BatchId, Caller, Error, FileId, Kind, PointerKind, RequestContext, Result};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::HashSet, sync::Arc};
use store::{
    BatchPart, BatchRow, FileIndex, FileRow, Ingest, IngestLimits, NewBatch, NewFile,
    request::{self, invalid},
};
use wire::batch::{Batch, LineError};

/// Parts of a batch that are read at once.
const PARTS: i64 = 500;

/// The body of the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redrive {
    lines: Vec<String>,
    completion_window: Option<String>,
    metadata: Option<serde_json::Map<String, Value>>,
}

/// How a line ended that was not answered with a 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ending {
    Failed,
    Expired,
    Cancelled,
    Quarantined,
}

/// Where the lines come from.
struct Source {
    batch: BatchRow,
    input: FileRow,
    index: FileIndex,
    error: FileRow,
}

/// `POST /v1/batches/{id}/redrive`
pub(crate) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<Redrive>,
) -> Result<Json<Batch>, ApiError> {
    let wanted = to_endings(&body.lines)?;
    let parent = find(&app.gateway, &context, &id).await?;
    let child = to_child(&context, &parent, body)?;
    let source = open(&app.gateway, parent).await?;
    identity::require_models(&caller, &source.index)?;
    let gateway = Arc::clone(&app.gateway);
    // A task of its own: a file that was begun is ended or removed, whether the client waits or not.
    let made = app.gateway.uploads.spawn(async move { make(&gateway, &context, &source, &wanted, child).await });
    let row = made.await.map_err(Error::internal)??;
    Ok(Json(show(&app.gateway, row).await?))
}

impl Ending {
    const ALL: [Self; 4] = [Self::Failed, Self::Expired, Self::Cancelled, Self::Quarantined];

    fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Quarantined => "quarantined",
        }
    }

    /// Reads a record of an error file.
    fn of(record: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Record {
            error: Option<LineError>,
        }
        let record: Record = serde_json::from_slice(record).map_err(Error::internal)?;
        Ok(match record.error.as_ref().map(|error| error.code.as_str()) {
            Some("batch_expired") => Self::Expired,
            Some("batch_cancelled") => Self::Cancelled,
            Some("request_quarantined") => Self::Quarantined,
            _ => Self::Failed,
        })
    }
}

fn to_endings(words: &[String]) -> Result<HashSet<Ending>> {
    let allowed = || Ending::ALL.map(Ending::as_str).join("', '");
    if words.is_empty() {
        return Err(invalid("lines", format!("`lines` is empty. Name at least one of '{}'.", allowed())));
    }
    let read = |word: &String| {
        Ending::ALL.into_iter().find(|ending| ending.as_str() == word).ok_or_else(|| {
            let shown: String = word.chars().take(64).collect();
            invalid("lines", format!("Invalid value: '{shown}'. Supported values are: '{}'.", allowed()))
        })
    };
    words.iter().map(read).collect()
}

/// The new batch, which is like its parent where nothing else is said. Its input is still to be made.
fn to_child(context: &RequestContext, parent: &BatchRow, body: Redrive) -> Result<NewBatch> {
    Ok(NewBatch {
        id: BatchId::generate(),
        tenant: parent.tenant.clone(),
        endpoint: parent.endpoint,
        input_file_id: FileId::generate(),
        window_secs: body.completion_window.map_or(Ok(parent.window_secs), |window| request::window(&window))?,
        metadata: body.metadata.map(request::metadata).transpose()?.or_else(|| parent.metadata.clone()),
        output_expires_secs: parent.output_expires_secs,
        traceparent: context.traceparent(),
        terms: parent.terms,
        tokens: Vec::new(),
        dedup: parent.dedup,
        redrive_of: Some(parent.id.clone()),
    })
}

async fn open(gateway: &Gateway, batch: BatchRow) -> Result<Source> {
    if !batch.status.is_terminal() {
        let text = format!("A batch with status '{}' can't be redriven; wait until it has ended.", batch.status);
        return Err(conflict("batch_not_ended", text));
    }
    let Some(error) = &batch.error_file_id else {
        return Err(conflict("nothing_to_redrive", "This batch has no error file: there are no lines to redrive."));
    };
    let gone =
        |what: &str, id: &FileId| conflict("file_gone", format!("The {what} file {id} was deleted or has expired."));
    let error = gateway.store.file(&batch.tenant, error).await?.ok_or_else(|| gone("error", error))?;
    let input = gateway.store.file(&batch.tenant, &batch.input_file_id).await?;
    let input = input.ok_or_else(|| gone("input", &batch.input_file_id))?;
    let index = input.index.as_deref().ok_or_else(|| Error::internal("an input without an index"))?;
    let index = serde_json::from_str(index).map_err(Error::internal)?;
    Ok(Source { batch, input, index, error })
}

fn conflict(code: &'static str, text: impl Into<String>) -> Error {
    Error::new(Kind::Conflict, text).with_code(code)
}

/// Makes the input and the batch, or nothing.
async fn make(
    gateway: &Gateway,
    context: &RequestContext,
    source: &Source,
    wanted: &HashSet<Ending>,
    child: NewBatch,
) -> Result<BatchRow> {
    let blob = format!("files/{}", child.input_file_id);
    let mut ingest = Ingest::new(&gateway.blobs, &blob, IngestLimits::default());
    let index = match copy(gateway, source, wanted, &mut ingest).await {
        Ok(()) => ingest.finish().await?,
        Err(error) => {
            ingest.abort().await;
            return Err(error);
        }
    };
    let made = insert(gateway, &blob, &index, child).await;
    match &made {
        Ok(row) => ring(gateway, context, PointerKind::Validate, &row.id).await,
        Err(_) => discard(gateway, &[&blob, &index.blob]).await,
    }
    made
}

/// Copies the lines that are wanted, a part of the batch at a time.
async fn copy(gateway: &Gateway, source: &Source, wanted: &HashSet<Ending>, target: &mut Ingest) -> Result<()> {
    let (mut next_line, mut copied) = (0, 0);
    loop {
        let parts = gateway.store.parts(&source.batch.id, next_line, PARTS).await?;
        let Some(last) = parts.last() else { break };
        next_line = last.first_line + last.answered.len() as i64;
        for part in parts.iter().filter(|part| part.error.bytes > 0) {
            let numbers = choose(gateway, source, wanted, part).await?;
            copied += numbers.len();
            for line in source.index.pick(&gateway.blobs, &source.input.blob, &numbers).await? {
                target.feed(with_newline(&line)).await?;
            }
        }
    }
    if copied > 0 {
        return Ok(());
    }
    let mut words: Vec<_> = wanted.iter().map(|ending| ending.as_str()).collect();
    words.sort_unstable();
    Err(conflict(
        "nothing_to_redrive",
        format!("No line of this batch that can be read ended as {}.", words.join(" or ")),
    ))
}

/// The numbers, counted from 0, of the lines of a part that are wanted.
async fn choose(gateway: &Gateway, source: &Source, wanted: &HashSet<Ending>, part: &BatchPart) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for record in gateway.store.error_records(&gateway.blobs, &source.error, part).await? {
        if wanted.contains(&Ending::of(&record.json)?) {
            numbers.push((record.line - 1).unsigned_abs());
        }
    }
    Ok(numbers)
}

fn with_newline(line: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(line.len() + 1);
    bytes.extend_from_slice(line);
    bytes.extend_from_slice(b"\n");
    bytes.freeze()
}

async fn insert(gateway: &Gateway, blob: &str, index: &FileIndex, child: NewBatch) -> Result<BatchRow> {
    let now_ms = gateway.store.now_ms().await?;
    let filename = format!("{}_input.jsonl", child.id);
    let (id, tenant) = (child.input_file_id.clone(), child.tenant.clone());
    let file = NewFile::of_lines(id, tenant, filename, blob.to_owned(), index)?;
    let file = NewFile { expires_at_ms: Some(now_ms + gateway.settings.batch_file_ttl_secs * 1_000), ..file };
    gateway.store.insert_file(&file).await?;
    let (tenant, id) = (child.tenant.clone(), child.input_file_id.clone());
    let made = gateway.store.insert_batch(NewBatch { tokens: index.tokens_by_model(), ..child }).await;
    if made.is_err() {
        gateway.store.delete_file(&tenant, &id).await?;
    }
    made
}

/// Removes bytes that belong to nothing.
async fn discard(gateway: &Gateway, blobs: &[&str]) {
    for blob in blobs {
        if let Err(error) = gateway.blobs.delete(blob).await {
            tracing::warn!(error = %error.chain(), blob, "an input that belongs to no batch could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_how_its_line_ended() {
        for (record, ending) in [
            (r#"{"response":{"status_code":400},"error":null}"#, Ending::Failed),
            (r#"{"response":null,"error":{"code":"batch_expired","message":"m"}}"#, Ending::Expired),
            (r#"{"response":null,"error":{"code":"batch_cancelled","message":"m"}}"#, Ending::Cancelled),
            (r#"{"response":null,"error":{"code":"request_quarantined","message":"m"}}"#, Ending::Quarantined),
        ] {
            assert_eq!(Ending::of(record.as_bytes()).unwrap(), ending);
        }
    }

    #[test]
    fn lines_are_named_by_how_they_ended() {
        let read = |words: &[&str]| to_endings(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());

        assert_eq!(read(&["failed", "expired", "failed"]).unwrap(), HashSet::from([Ending::Failed, Ending::Expired]));
        for bad in [&[][..], &["completed"], &["Failed"]] {
            assert_eq!(read(bad).unwrap_err().param(), Some("lines"), "{bad:?}");
        }
    }
}
