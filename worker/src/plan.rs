//! Cuts a batch into shards, a window at a time: a batch of millions of lines never has more than a few rows in work.

use crate::{
    Core, WorkerSettings,
    in_time::InTime,
    input::{Input, Place},
    instruments::Step,
};
use domain::{BatchId, BatchStatus, Pointer, PointerKind, Result, ShardId};
use store::{BatchRow, NewShard};
use tracing::warn;

/// The window of a batch is filled in so many parts.
const RELEASES_A_WINDOW: usize = 4;

/// Fills the window of a batch, and ends its running if nothing is left to run.
pub(crate) async fn top_up(core: &Core, batch: &BatchId) -> Result<()> {
    let Some(batch) = core.store.batch_by_id(batch).in_time().await? else { return Ok(()) };
    if batch.status != BatchStatus::InProgress {
        return Ok(());
    }
    if batch.planned_lines < batch.total_lines {
        core.instruments.time(Step::Plan, release(core, &batch)).await?;
    } else if core.store.begin_finalize(&batch.id).in_time().await? {
        ring(core, &[Pointer::new(PointerKind::Finalize, batch.id.as_str())]).await;
    }
    Ok(())
}

/// Tells workers. A ring that fails is found by the sweep.
pub(crate) async fn ring(core: &Core, pointers: &[Pointer]) {
    if pointers.is_empty() {
        return;
    }
    if let Err(error) = core.instruments.time(Step::Ring, core.doorbell.ring(pointers)).await {
        warn!(error = %error.chain(), "{} pointers not rung; the sweep will ring them", pointers.len());
    }
}

async fn release(core: &Core, batch: &BatchRow) -> Result<()> {
    let planned = core.store.planned_shards(&batch.id).in_time().await?;
    let room = core.settings.window.saturating_sub(planned.unfinished);
    // A few at a time: each release is a transaction on the row of the batch, which checkpoints want too.
    if room * RELEASES_A_WINDOW < core.settings.window.max(1) {
        return Ok(());
    }
    let first = batch.planned_lines.unsigned_abs();
    let most = room.saturating_mul(core.settings.shard_lines.max(1)) as u64;
    let last = batch.total_lines.unsigned_abs().min(first + most);
    let places = Input::open(&core.store, batch).await?.places(&core.blobs, first..last).await?;
    let mut cuts = cut(&places, &core.settings);
    cuts.truncate(room);
    let new = number(&cuts, planned.next_ordinal, batch.planned_lines);
    // False: somebody else released the same lines first.
    if core.store.plan_shards(&batch.id, batch.planned_lines, &new).in_time().await? {
        let pointers: Vec<_> = new.iter().map(|shard| Pointer::new(PointerKind::Shard, shard.id.as_str())).collect();
        ring(core, &pointers).await;
    }
    Ok(())
}

/// A run of lines that fits a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) lines: usize,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Estimated.
    pub(crate) tokens: u64,
}

/// Cuts consecutive lines into shards. A line that is too large by itself has its own.
pub(crate) fn cut(places: &[Place], settings: &WorkerSettings) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::new();
    for place in places {
        let fits = cuts.last().is_some_and(|cut| {
            cut.lines < settings.shard_lines
                && place.end() - cut.start <= settings.shard_bytes
                && cut.tokens + u64::from(place.tokens) <= settings.shard_tokens
        });
        match cuts.last_mut().filter(|_| fits) {
            Some(cut) => {
                cut.lines += 1;
                cut.end = place.end();
                cut.tokens += u64::from(place.tokens);
            }
            None => {
                let tokens = u64::from(place.tokens);
                cuts.push(Cut { lines: 1, start: place.offset, end: place.end(), tokens });
            }
        }
    }
    cuts
}

fn number(cuts: &[Cut], first_ordinal: i64, first_line: i64) -> Vec<NewShard> {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut line = first_line;
    let shards = cuts.iter().zip(first_ordinal..).map(|(cut, ordinal)| {
        let shard = NewShard {
            id: ShardId::generate(),
            ordinal,
            first_line: line,
            line_count: signed(cut.lines as u64),
            byte_start: signed(cut.start),
            byte_end: signed(cut.end),
            tokens: signed(cut.tokens),
        };
        line += shard.line_count;
        shard
    });
    shards.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(lens: &[u32]) -> Vec<Place> {
        let mut offset = 0;
        let place = |len: &u32| {
            let place = Place { offset, len: *len, tokens: len / 4 };
            offset = place.end() + 1;
            place
        };
        lens.iter().map(place).collect()
    }

    fn settings(lines: usize, bytes: u64, tokens: u64) -> WorkerSettings {
        WorkerSettings { shard_lines: lines, shard_bytes: bytes, shard_tokens: tokens, ..WorkerSettings::default() }
    }

    fn lines(cuts: &[Cut]) -> Vec<usize> {
        cuts.iter().map(|cut| cut.lines).collect()
    }

    #[test]
    fn shards_hold_a_number_of_lines() {
        let cuts = cut(&places(&[10; 7]), &settings(3, 1000, 1000));

        assert_eq!(lines(&cuts), [3, 3, 1]);
        assert_eq!(cuts[1], Cut { lines: 3, start: 33, end: 65, tokens: 6 });
    }

    #[test]
    fn a_line_that_is_too_large_has_its_own_shard() {
        let cuts = cut(&places(&[10, 500, 10, 10]), &settings(10, 100, 1000));

        assert_eq!(lines(&cuts), [1, 1, 2]);
    }

    #[test]
    fn tokens_bound_a_shard() {
        let cuts = cut(&places(&[40; 4]), &settings(10, 1000, 20));

        assert_eq!(lines(&cuts), [2, 2]);
    }

    #[test]
    fn shards_are_numbered_on_from_those_before() {
        let cuts = cut(&places(&[10; 4]), &settings(3, 1000, 1000));

        let shards = number(&cuts, 5, 100);

        let numbers: Vec<_> = shards.iter().map(|s| (s.ordinal, s.first_line, s.line_count)).collect();
        assert_eq!(numbers, [(5, 100, 3), (6, 103, 1)]);
    }
}
