//! `GET /v1/batches/{id}/audit`: what became of the lines of a batch, shard by shard, with the checksums of its files.

use crate::{
    app::{App, Gateway},
    batches,
    extract::{ApiPath, ApiQuery},
    paging,
};
use axum::{Extension, Json, extract::State};
use chassis::http::ApiError;
use domain::{Error, FileId, RequestContext, Result};
use serde::Deserialize;
use std::collections::HashMap;
use store::{BatchPart, BatchRow, FilePart, SegmentBlob, SegmentRow, ShardRow};
use wire::batch_audit::{
    AuditFile, AuditRange, AuditRun, AuditSegment, AuditShard, AuditTotals, BatchAudit, hex_crc32c,
};

#[derive(Debug, Deserialize)]
pub(crate) struct AuditQuery {
    after_shard: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/batches/{id}/audit`
pub(crate) async fn read(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> Result<Json<BatchAudit>, ApiError> {
    let batch = batches::find(&app.gateway, &context, &id).await?;
    let limit = paging::limit(query.limit.as_deref(), 500, 1_000)?;
    let after = after_shard(query.after_shard.as_deref())?;
    Ok(Json(audit(&app.gateway, &batch, after, limit).await?))
}

/// Reads the number of the last shard that the caller has; -1 is none.
fn after_shard(given: Option<&str>) -> Result<i64> {
    let Some(given) = given else { return Ok(-1) };
    given.parse().ok().filter(|shard| *shard >= -1).ok_or_else(|| {
        let text = format!("Invalid `after_shard`: '{given}'. It is the `last_shard` of the page before.");
        Error::invalid(text).with_param("after_shard")
    })
}

async fn audit(gateway: &Gateway, batch: &BatchRow, after: i64, limit: i64) -> Result<BatchAudit> {
    let (rows, has_more) = gateway.store.shards_after(&batch.id, after, limit).await?;
    let shards = audit_shards(gateway, batch, &rows).await?;
    Ok(BatchAudit {
        object: "batch.audit".to_owned(),
        batch_id: batch.id.to_string(),
        status: batch.status.to_string(),
        input: file(gateway, Some(&batch.input_file_id)).await?,
        output: file(gateway, batch.output_file_id.as_ref()).await?,
        error: file(gateway, batch.error_file_id.as_ref()).await?,
        totals: totals(gateway, batch).await?,
        last_shard: rows.last().map(|shard| shard.ordinal),
        shards,
        unplanned: if has_more { None } else { unplanned(gateway, batch).await? },
        has_more,
    })
}

async fn audit_shards(gateway: &Gateway, batch: &BatchRow, rows: &[ShardRow]) -> Result<Vec<AuditShard>> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    let mut segments: HashMap<_, Vec<SegmentRow>> = HashMap::new();
    for segment in gateway.store.segments_of(&batch.id, first.ordinal..=last.ordinal).await? {
        segments.entry(segment.ordinal).or_default().push(segment);
    }
    let parts = gateway.store.parts(&batch.id, first.first_line, rows.len() as i64).await?;
    let parts: HashMap<_, _> = parts.iter().map(|part| (part.first_line, part)).collect();
    let shard = |row: &ShardRow| {
        shard(row, segments.remove(&row.ordinal).unwrap_or_default(), parts.get(&row.first_line).copied())
    };
    Ok(rows.iter().map(shard).collect())
}

fn shard(row: &ShardRow, segments: Vec<SegmentRow>, part: Option<&BatchPart>) -> AuditShard {
    AuditShard {
        id: row.id.to_string(),
        shard: row.ordinal,
        status: row.status.clone(),
        completed: segments.iter().map(|segment| segment.counts.completed).sum(),
        failed: segments.iter().map(|segment| segment.counts.failed).sum(),
        epoch: row.epoch,
        crashes: row.crashes,
        redone_requests: row.redone + segments.iter().map(|segment| segment.redone).sum::<i64>(),
        segments: segments.iter().map(segment).collect(),
        run: AuditRun {
            first_line: row.first_line + 1,
            last_line: row.first_line + row.line_count,
            output: part.map(|part| range(&part.output)),
            error: part.map(|part| range(&part.error)),
        },
    }
}

fn segment(row: &SegmentRow) -> AuditSegment {
    let checksum = |blob: &Option<SegmentBlob>| blob.as_ref().and_then(|blob| blob.crc32c).map(hex_crc32c);
    AuditSegment {
        epoch: row.epoch,
        seq: row.seq,
        lines: row.done.count() as u64,
        ok_crc32c: checksum(&row.ok),
        error_crc32c: checksum(&row.err),
    }
}

fn range(part: &FilePart) -> AuditRange {
    AuditRange { start: part.start, bytes: part.bytes, crc32c: hex_crc32c(part.crc32c) }
}

/// The lines that were never in a shard: all of them are in the error file, at its end.
async fn unplanned(gateway: &Gateway, batch: &BatchRow) -> Result<Option<AuditRun>> {
    if batch.planned_lines >= batch.total_lines {
        return Ok(None);
    }
    let parts = gateway.store.parts(&batch.id, batch.planned_lines, i64::MAX).await?;
    let joined = parts.into_iter().reduce(|mut all, part| {
        all.output.join(&part.output);
        all.error.join(&part.error);
        all
    });
    Ok(joined.map(|part| AuditRun {
        first_line: batch.planned_lines + 1,
        last_line: batch.total_lines,
        output: Some(range(&part.output)),
        error: Some(range(&part.error)),
    }))
}

async fn totals(gateway: &Gateway, batch: &BatchRow) -> Result<AuditTotals> {
    let sums = gateway.store.shard_sums(&batch.id).await?;
    Ok(AuditTotals {
        lines: batch.total_lines,
        completed: batch.counts.completed,
        failed: batch.counts.failed,
        cancelled: batch.counts.cancelled,
        expired: batch.counts.expired,
        shards: sums.shards,
        leases: sums.leases,
        crashes: sums.crashes,
        segments: sums.segments,
        redone_requests: batch.redone_requests,
    })
}

/// What is recorded of a file, deleted or not: the record outlives the bytes.
async fn file(gateway: &Gateway, id: Option<&FileId>) -> Result<Option<AuditFile>> {
    let Some(id) = id else { return Ok(None) };
    let row = gateway.store.input_file(id).await?;
    Ok(row.map(|row| AuditFile {
        id: row.id.to_string(),
        bytes: row.bytes.cast_unsigned(),
        crc32c: row.crc32c.map(hex_crc32c),
    }))
}
