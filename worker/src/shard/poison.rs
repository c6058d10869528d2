//! Lines that kill workers. A shard that crashed twice runs one line at a time; the line that then stops two workers in a
//! row at the same place is quarantined, and its neighbours go on.

use crate::{
    Core, input,
    record::{self, Record, Side},
};
use domain::{Result, Usage};
use store::ShardLease;

const SUSPECT: i64 = 2;
const PROVEN: i64 = 3;

/// Whether the shard has crashed often enough to be run with care.
pub(crate) fn is_suspect(lease: &ShardLease) -> bool {
    lease.shard.crash_count >= SUSPECT
}

/// Whether the first undone line is the culprit: the last two workers made no progress past it.
pub(crate) async fn is_proven(core: &Core, lease: &ShardLease) -> Result<bool> {
    if lease.shard.crash_count < PROVEN {
        return Ok(false);
    }
    let segments = core.store.segments(&lease.batch.id).await?;
    let progress = segments.iter().filter(|segment| segment.shard == lease.shard.id).map(|segment| segment.epoch).max();
    Ok(progress.is_none_or(|epoch| epoch < lease.epoch - 2))
}

/// The record of a culprit.
pub(crate) fn quarantine(number: usize, line: &[u8]) -> Record {
    let message = "This request was set aside because it stopped three workers.";
    let json = record::unexecuted(&input::custom_id(line), "request_quarantined", message);
    Record { number, side: Side::Err, json, usage: Usage::default() }
}
