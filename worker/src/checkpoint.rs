//! The finished lines of a shard that are not durable yet, and how they become so: first immutable objects, then one
//! transaction that makes them count. An object without its row does not exist.

use crate::{
    Core, gate::backoff, in_time::InTime, instruments::Step, record::Record, settings::WorkerSettings, shard::Asked,
};
use bytes::Bytes;
use domain::{Bitmap, LineCounts, Result, Usage, UsageRecord};
use std::{future::Future, time::Duration};
use store::{CommitResult, NewSegment, SegmentBlob, ShardLease, Side, append_record};
use tokio::time::Instant;
use tracing::{error, warn};

/// What became of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// The lines are durable.
    Committed {
        /// And they were the shard's last.
        shard_done: bool,
    },
    /// The lease is lost; the lines are somebody else's now.
    Lost,
}

/// Collects records until they are worth a segment.
pub(crate) struct Checkpoint {
    seq: i64,
    shard_lines: usize,
    ok: Vec<u8>,
    err: Vec<u8>,
    done: Bitmap,
    counts: LineCounts,
    usage: Usage,
    deduplicated: i64,
    ledger: Vec<UsageRecord>,
    since: Option<Instant>,
}

impl Checkpoint {
    /// An empty checkpoint of a shard with `shard_lines` lines.
    pub(crate) fn new(shard_lines: usize) -> Self {
        Self {
            seq: 0,
            shard_lines,
            ok: Vec::new(),
            err: Vec::new(),
            done: Bitmap::new(shard_lines),
            counts: LineCounts::default(),
            usage: Usage::default(),
            deduplicated: 0,
            ledger: Vec::new(),
            since: None,
        }
    }

    /// Takes in a finished line.
    pub(crate) fn push(&mut self, record: &Record) {
        match record.side {
            Side::Ok => {
                append_record(record.number, &record.json, &mut self.ok);
                self.counts.completed += 1;
            }
            Side::Err => {
                append_record(record.number, &record.json, &mut self.err);
                self.counts.failed += 1;
            }
        }
        self.done.set(record.number);
        self.usage += record.usage;
        self.ledger.extend(record.ledger.as_deref().cloned());
        self.since.get_or_insert_with(Instant::now);
    }

    /// Takes in a line that was answered with the answer to an identical one.
    pub(crate) fn push_twin(&mut self, record: &Record) {
        self.push(record);
        self.deduplicated += 1;
    }

    /// Whether there is nothing to make durable.
    pub(crate) fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    /// Whether enough has been collected.
    pub(crate) fn is_full(&self, settings: &WorkerSettings) -> bool {
        self.done.count() >= settings.flush_lines || self.ok.len() + self.err.len() >= settings.flush_bytes
    }

    /// When the oldest line has waited long enough.
    pub(crate) fn due(&self, settings: &WorkerSettings) -> Option<Instant> {
        self.since.map(|since| since + Duration::from_millis(settings.flush_ms))
    }

    /// Makes everything collected durable, trying for as long as it takes: give up by dropping the future.
    pub(crate) async fn flush(&mut self, core: &Core, lease: &ShardLease, asked: &Asked) -> Flushed {
        let segment = self.segment(lease, asked);
        for (blob, bytes) in [(&segment.ok, &mut self.ok), (&segment.err, &mut self.err)] {
            if let Some(blob) = blob {
                let bytes = Bytes::from(std::mem::take(bytes));
                if persist("segment not written", || {
                    core.instruments.time(Step::Write, core.blobs.put_once(&blob.path, bytes.clone()))
                })
                .await
                .is_none()
                {
                    return Flushed::Lost;
                }
            }
        }
        let commit = || core.instruments.time(Step::Commit, core.store.commit_segment(lease, &segment).in_time());
        let result = persist("segment not committed", commit).await;
        let seq = self.seq + 1;
        *self = Self { seq, ..Self::new(self.shard_lines) };
        match result {
            Some(CommitResult::Committed { shard_done, .. }) => Flushed::Committed { shard_done },
            // An earlier try succeeded and its answer was lost. Whether the shard is done shows at the next look.
            Some(CommitResult::AlreadyCommitted) => Flushed::Committed { shard_done: true },
            Some(CommitResult::LeaseLost) | None => Flushed::Lost,
        }
    }

    fn segment(&self, lease: &ShardLease, asked: &Asked) -> NewSegment {
        let path = |side| format!("b/{}/s/{}/{}-{}.{side}", lease.batch.id, lease.shard.id, lease.epoch, self.seq);
        let blob = |bytes: &[u8], side| (!bytes.is_empty()).then(|| SegmentBlob::of(path(side), bytes));
        NewSegment {
            seq: self.seq,
            ok: blob(&self.ok, "ok"),
            err: blob(&self.err, "err"),
            done: self.done.clone(),
            counts: self.counts,
            usage: self.usage,
            asked: asked.tell(&self.done),
            deduplicated: self.deduplicated,
            ledger: self.ledger.clone(),
        }
    }
}

/// Repeats an idempotent write until it gives an answer. `None`: it never will.
pub(crate) async fn persist<T, F: Future<Output = Result<T>>>(what: &str, mut write: impl FnMut() -> F) -> Option<T> {
    let mut attempt = 0;
    loop {
        match write().await {
            Ok(done) => return Some(done),
            Err(error) if !error.kind().is_retryable() => {
                error!(error = %error.chain(), "{what}, and it can't be");
                return None;
            }
            Err(error) => warn!(error = %error.chain(), attempt, "{what}"),
        }
        attempt += 1;
        tokio::time::sleep(backoff(attempt.min(5))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: usize, side: Side) -> Record {
        Record { number, side, json: b"{}".to_vec(), usage: Usage { input: 2, ..Usage::default() }, ledger: None }
    }

    #[test]
    fn a_checkpoint_adds_up_what_it_holds() {
        let mut checkpoint = Checkpoint::new(10);

        checkpoint.push(&record(3, Side::Ok));
        checkpoint.push(&record(7, Side::Err));

        assert_eq!((checkpoint.counts.completed, checkpoint.counts.failed), (1, 1));
        assert_eq!((checkpoint.usage.input, checkpoint.done.count()), (4, 2));
    }

    #[test]
    fn enough_lines_or_enough_bytes_fill_it() {
        let few = WorkerSettings { flush_lines: 2, flush_bytes: 1000, ..WorkerSettings::default() };
        let small = WorkerSettings { flush_lines: 100, flush_bytes: 5, ..WorkerSettings::default() };
        let mut checkpoint = Checkpoint::new(10);

        checkpoint.push(&record(0, Side::Ok));

        assert!(!checkpoint.is_full(&few));
        assert!(checkpoint.is_full(&small));
        checkpoint.push(&record(1, Side::Ok));
        assert!(checkpoint.is_full(&few));
    }
}
