//! Ends a batch: both files in input order, every line in exactly one of them, and one transaction that makes files,
//! counts and status appear together. A finaliser that lost its lease publishes nothing.

use crate::{
    Core,
    in_time::InTime,
    input::Input,
    merge::{Fill, Merge, Merged, Part, Written},
    plan,
    settings::jittered,
};
use domain::{BatchStatus, Error, FileId, LineCounts, Result};
use store::{BatchLease, BatchRow, FinishBatch, NewFile, SegmentRow, ShardRow};
use tracing::{info, warn};

const EXPIRED: Fill =
    Fill { code: "batch_expired", message: "This request could not be executed before the completion window expired." };
const CANCELLED: Fill =
    Fill { code: "batch_cancelled", message: "This request was not executed because the batch was cancelled." };

/// Lines that were never in a shard are read this many at a time.
const UNPLANNED: u64 = 4096;

/// Ends the batch of `lease`, for as long as the lease can be kept.
pub(crate) async fn run(core: &Core, lease: &BatchLease) -> Result<()> {
    tokio::select! {
        ended = end(core, lease) => ended,
        () = until_lost(core, lease) => {
            warn!(batch.id = %lease.batch.id, "lost the lease of batch {}; somebody else ends it", lease.batch.id);
            Ok(())
        }
    }
}

/// Keeps the lease alive; returns when it is lost.
async fn until_lost(core: &Core, lease: &BatchLease) {
    loop {
        tokio::time::sleep(jittered(core.settings.heartbeat_ms)).await;
        match core.store.heartbeat_batch(lease, core.settings.lease_ms).in_time().await {
            Ok(true) => {}
            Ok(false) => return,
            // The fence of `finish_batch` holds in any case; this only saves work.
            Err(error) => warn!(error = %error.chain(), "heartbeat of batch {} failed", lease.batch.id),
        }
    }
}

async fn end(core: &Core, lease: &BatchLease) -> Result<()> {
    let batch = &lease.batch;
    let (status, fill) = match batch.status {
        BatchStatus::Finalizing => (BatchStatus::Completed, None),
        BatchStatus::Cancelling => (BatchStatus::Cancelled, Some(CANCELLED)),
        BatchStatus::Validating | BatchStatus::InProgress => (BatchStatus::Expired, Some(EXPIRED)),
        _ => return Ok(()),
    };
    let finish = match batch.total_lines {
        // Never validated: there are no lines to account for.
        0 => FinishBatch { status, output: None, error: None, counts: LineCounts::default(), parts: Vec::new() },
        _ => assemble(core, lease, status, fill).await?,
    };
    if core.store.finish_batch(lease, finish).in_time().await? {
        info!(batch.id = %batch.id, status = %status, "batch {} is {status}", batch.id);
    } else {
        warn!(batch.id = %batch.id, "batch {} changed while its files were assembled", batch.id);
    }
    Ok(())
}

async fn assemble(core: &Core, lease: &BatchLease, status: BatchStatus, fill: Option<Fill>) -> Result<FinishBatch> {
    let batch = &lease.batch;
    let input = Input::open(&core.store, batch).await?;
    let shards = core.store.shards(&batch.id).in_time().await?;
    let segments = core.store.segments(&batch.id).in_time().await?;
    let compactions = core.store.compactions(&batch.id).in_time().await?;
    let path = format!("b/{}/out/{}", batch.id, lease.epoch);
    let mut merge = Merge::new(core, &input, fill, &path);
    let mut rest = segments.as_slice();
    for shard in &shards {
        let (own, others) = split(rest, shard);
        rest = others;
        match compactions.get(&shard.id) {
            Some(made) => merge.append_compacted(made).await?,
            None => merge.append(&part(shard, own)).await?,
        }
    }
    let planned = shards.iter().map(|shard| shard.line_count.unsigned_abs()).sum();
    append_unplanned(core, &input, &mut merge, planned..batch.total_lines.unsigned_abs()).await?;

    let counts = counts(&merge, status);
    if counts.recorded() != batch.total_lines {
        let text = format!("batch {} has {} records for {} lines", batch.id, counts.recorded(), batch.total_lines);
        return Err(Error::internal(text));
    }
    let Merged { ok, err, parts } = merge.finish().await?;
    let now_ms = core.store.now_ms().in_time().await?;
    let file = |written: Option<Written>, kind| written.map(|written| new_file(batch, written, kind, now_ms));
    Ok(FinishBatch { status, output: file(ok, "output"), error: file(err, "error"), counts, parts })
}

fn part<'a>(shard: &ShardRow, segments: &'a [SegmentRow]) -> Part<'a> {
    let bytes = shard.byte_start.unsigned_abs()..shard.byte_end.unsigned_abs();
    Part { lines: usize::try_from(shard.line_count).unwrap_or(0), bytes, segments }
}

/// The segments of `shard`, which come first, and those of later shards.
fn split<'a>(segments: &'a [SegmentRow], shard: &ShardRow) -> (&'a [SegmentRow], &'a [SegmentRow]) {
    let own = segments.iter().take_while(|segment| segment.shard == shard.id).count();
    segments.split_at(own)
}

/// Lines that no shard was ever cut for.
async fn append_unplanned(
    core: &Core,
    input: &Input,
    merge: &mut Merge<'_>,
    lines: std::ops::Range<u64>,
) -> Result<()> {
    let mut next = lines.start;
    while next < lines.end {
        let until = lines.end.min(next + UNPLANNED);
        for cut in plan::cut(&input.places(&core.blobs, next..until).await?, &core.settings) {
            merge.append(&Part { lines: cut.lines, bytes: cut.start..cut.end, segments: &[] }).await?;
        }
        next = until;
    }
    Ok(())
}

fn counts(merge: &Merge<'_>, status: BatchStatus) -> LineCounts {
    let executed = merge.executed();
    match status {
        BatchStatus::Cancelled => LineCounts { cancelled: merge.filled, ..executed },
        _ => LineCounts { expired: merge.filled, ..executed },
    }
}

fn new_file(batch: &BatchRow, written: Written, kind: &str, now_ms: i64) -> NewFile {
    NewFile {
        id: FileId::generate(),
        tenant: batch.tenant.clone(),
        purpose: "batch_output".to_owned(),
        filename: format!("{}_{kind}.jsonl", batch.id),
        bytes: i64::try_from(written.info.bytes).unwrap_or(i64::MAX),
        blob: written.path,
        crc32c: Some(written.info.crc32c),
        index: None,
        expires_at_ms: batch.output_expires_secs.map(|secs| now_ms.saturating_add(secs.saturating_mul(1000))),
    }
}
