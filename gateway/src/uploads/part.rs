//! Receiving a part: its bytes go to the blob store as they come, those of a batch input through the judgement of lines.
//! Whatever goes wrong, no blob and no row stay behind.

use crate::{
    app::Gateway,
    upload::{self, form},
};
use axum::extract::{Multipart, multipart::Field};
use bytes::Bytes;
use domain::{Error, Kind, PartId, Result};
use store::{
    BlobInfo, BlobWriter, IngestLimits, NewPart, PartBounds, PartIngest, PartLines, PartRow, UploadRow, part_blob,
};

enum Sink {
    Lines(Box<PartIngest>),
    Plain(BlobWriter),
}

impl Sink {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match self {
            Self::Lines(ingest) => ingest.feed(bytes).await,
            Self::Plain(writer) => writer.write(bytes).await,
        }
    }

    async fn finish(self) -> Result<(BlobInfo, Option<PartLines>)> {
        match self {
            Self::Lines(ingest) => ingest.finish().await.map(|(info, lines)| (info, Some(lines))),
            Self::Plain(writer) => writer.finish().await.map(|info| (info, None)),
        }
    }

    async fn abort(self) {
        match self {
            Self::Lines(ingest) => ingest.abort().await,
            Self::Plain(writer) => writer.abort().await,
        }
    }
}

/// Takes a form whose part `data` is a part of `upload`.
pub(super) async fn receive(gateway: &Gateway, upload: &UploadRow, mut body: Multipart) -> Result<PartRow> {
    let id = PartId::generate();
    let mut stored = None;
    let read = async {
        while let Some(field) = body.next_field().await.map_err(form::broken)? {
            match field.name().unwrap_or_default() {
                "data" if stored.is_some() => {
                    return Err(Error::invalid("The form has more than one part named 'data'.").with_param("data"));
                }
                "data" => stored = Some(store(gateway, upload, &id, field).await?),
                _ => form::skip(field).await?,
            }
        }
        Ok(())
    };
    let outcome = match read.await {
        Ok(()) => record(gateway, upload, &id, stored).await,
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        discard(gateway, upload, &id).await;
    }
    outcome
}

async fn store(
    gateway: &Gateway,
    upload: &UploadRow,
    id: &PartId,
    mut field: Field<'_>,
) -> Result<(BlobInfo, Option<PartLines>)> {
    let path = part_blob(&upload.id, id);
    let mut sink = match upload.purpose.as_str() {
        "batch" => Sink::Lines(Box::new(PartIngest::new(&gateway.blobs, &path, limits(gateway)))),
        _ => Sink::Plain(gateway.blobs.writer(&path)),
    };
    match pour(gateway.settings.uploads.max_part_bytes, &mut field, &mut sink).await {
        Ok(()) => sink.finish().await,
        Err(error) => {
            sink.abort().await;
            Err(error)
        }
    }
}

async fn pour(most: u64, field: &mut Field<'_>, sink: &mut Sink) -> Result<()> {
    let mut bytes = 0;
    while let Some(chunk) = field.chunk().await.map_err(form::broken)? {
        bytes += chunk.len() as u64;
        if bytes > most {
            let text = format!("The part is larger than the {most} bytes allowed. Send it in several parts.");
            return Err(Error::new(Kind::TooLarge, text).with_param("data"));
        }
        sink.write(chunk).await?;
    }
    if bytes == 0 {
        return Err(Error::invalid("The part is empty.").with_param("data"));
    }
    Ok(())
}

/// What the lines of a batch input that comes in parts may be.
pub(super) fn limits(gateway: &Gateway) -> IngestLimits {
    IngestLimits { max_lines: gateway.settings.uploads.max_lines, ..IngestLimits::default() }
}

async fn record(
    gateway: &Gateway,
    upload: &UploadRow,
    id: &PartId,
    stored: Option<(BlobInfo, Option<PartLines>)>,
) -> Result<PartRow> {
    let (info, lines) = stored.ok_or_else(|| upload::missing("data"))?;
    let part = NewPart { id: id.clone(), upload: upload.id.clone(), info, lines };
    let settings = &gateway.settings.uploads;
    // A part may be sent again when its answer was lost, so there may be more than is used.
    let most = upload.bytes.saturating_mul(2).saturating_add(settings.max_part_bytes.cast_signed());
    let bounds = PartBounds { parts: i64::try_from(settings.max_parts).map_err(Error::internal)?, bytes: most };
    if let Some(row) = gateway.store.insert_part(&part, bounds).await? {
        return Ok(row);
    }
    super::require_pending(&super::find(gateway, &upload.tenant, upload.id.as_str()).await?)?;
    let text = format!(
        "The upload takes no more parts: it is being completed, or has {} parts or {most} bytes in parts already.",
        bounds.parts
    );
    Err(Error::new(Kind::Conflict, text).with_code("upload_is_full").with_param("data"))
}

async fn discard(gateway: &Gateway, upload: &UploadRow, id: &PartId) {
    let path = part_blob(&upload.id, id);
    for blob in [format!("{path}.lines"), path] {
        form::delete(&gateway.blobs, &blob).await;
    }
}
