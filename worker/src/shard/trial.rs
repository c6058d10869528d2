//! Lines that kill workers. A shard whose workers died twice without finishing a line starts with one line alone and doubles
//! from there; the line that stops three workers, alone in flight, is quarantined, and its neighbours go on. Any finished
//! line clears the count.

use crate::{
    input,
    record::{self, Record},
};
use domain::Usage;
use store::{ShardLease, Side};

const SUSPECT: i64 = 2;
/// A suspect shard that got this many lines into flight is trusted again.
pub(crate) const TRUSTED: usize = 8;
const PROVEN: i64 = SUSPECT + 3;

/// Whether the shard has crashed often enough to be run with care.
pub(crate) fn is_suspect(lease: &ShardLease) -> bool {
    lease.shard.crash_count >= SUSPECT
}

/// Whether the first undone line is the culprit: three workers died with nothing else in flight.
pub(crate) fn is_proven(lease: &ShardLease) -> bool {
    lease.shard.crash_count >= PROVEN
}

/// The record of a culprit.
pub(crate) fn quarantine(number: usize, line: &[u8]) -> Record {
    let message = "This request was set aside because it stopped three workers.";
    let json = record::unexecuted(&input::custom_id(line), "request_quarantined", message);
    Record { number, side: Side::Err, json, usage: Usage::default(), ledger: None }
}
