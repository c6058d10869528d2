//! Lines that kill workers. A shard whose workers died twice without finishing a line is suspect: half of the lines that may have
//! done it are asked, and nothing else of the shard; then half of those that are left. Which ones is told to the database
//! before, so that the next worker halves on from there. The line that stops three workers, alone, is quarantined.

use super::order::Ask;
use crate::{
    input,
    record::{self, Record},
};
use domain::{Bitmap, Usage};
use store::{SUSPECT_CRASHES, ShardRow, Side};
use tokio::sync::OwnedMutexGuard;

/// A line that was alone in flight in so many crashes is the culprit.
const PROVEN: i64 = SUSPECT_CRASHES + 3;

/// What is to be done with the undone lines of a shard.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// It has stopped three workers.
    pub(super) culprit: Option<Ask>,
    /// One of these may have stopped workers.
    suspects: Vec<Ask>,
    /// To be asked as always, once that is settled.
    free: Vec<Ask>,
    /// The right to have suspects in flight: one shard of a process has it at a time, so that a crash tells whose they were.
    turn: Option<OwnedMutexGuard<()>>,
}

/// The lines that come next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Suspects: the database has to be told before.
    Group(Vec<Ask>),
    /// Everything that is left.
    Free(Vec<Ask>),
}

impl Trial {
    /// Of a shard as it was claimed. `None`: its lines are not suspect. Gives the lines back then.
    pub(super) fn of(shard: &ShardRow, asks: Vec<Ask>) -> Result<Self, Vec<Ask>> {
        if shard.crash_count < SUSPECT_CRASHES || asks.is_empty() {
            return Err(asks);
        }
        let at_work = at_work(shard);
        let is_suspect = |ask: &Ask| at_work.as_ref().is_none_or(|lines| lines.contains(ask.line));
        let (mut suspects, mut free): (Vec<_>, Vec<_>) = asks.into_iter().partition(is_suspect);
        if suspects.is_empty() {
            std::mem::swap(&mut suspects, &mut free);
        }
        let is_proven = shard.crash_count >= PROVEN && suspects.len() == 1;
        let culprit = if is_proven { suspects.pop() } else { None };
        Ok(Self { culprit, suspects, free, turn: None })
    }

    /// Whether its suspects wait until no other shard's are in flight.
    pub(super) fn waits(&self) -> bool {
        self.turn.is_none() && !self.suspects.is_empty()
    }

    pub(super) fn begin(&mut self, turn: OwnedMutexGuard<()>) {
        self.turn = Some(turn);
    }

    /// What is to be asked now that nothing is in flight.
    pub(super) fn next(&mut self) -> Next {
        match self.suspects.len() {
            0 => Next::Free(std::mem::take(&mut self.free)),
            left => Next::Group(self.suspects.drain(..left.div_ceil(2)).collect()),
        }
    }
}

/// The lines that were in flight when the last worker died, if they were told before they were asked: two crashes may have come
/// before anything was.
fn at_work(shard: &ShardRow) -> Option<Bitmap> {
    let mut lines = shard.trial.clone().filter(|_| shard.crash_count > SUSPECT_CRASHES)?;
    lines.subtract(&shard.done);
    Some(lines)
}

/// Every line of a group, those that are answered with another one too.
pub(super) fn marked(group: &[Ask], lines: usize) -> Bitmap {
    let mut marked = Bitmap::new(lines);
    group.iter().flat_map(|ask| ask.twins.iter().chain([&ask.line])).for_each(|line| marked.set(*line));
    marked
}

/// The record of a culprit.
pub(super) fn quarantine(number: usize, line: &[u8]) -> Record {
    let message = "This request was set aside because it stopped three workers.";
    let json = record::unexecuted(&input::custom_id(line), "request_quarantined", message);
    Record { number, side: Side::Err, json, usage: Usage::default(), ledger: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{BatchId, ShardId};

    const LINES: usize = 256;

    fn shard() -> ShardRow {
        ShardRow {
            id: ShardId::generate(),
            batch_id: BatchId::generate(),
            ordinal: 0,
            first_line: 0,
            line_count: LINES as i64,
            byte_start: 0,
            byte_end: 1,
            tokens: 1,
            status: "leased".to_owned(),
            done: Bitmap::new(LINES),
            epoch: 1,
            lease_until_ms: 0,
            crash_count: 0,
            crashes: 0,
            asked: None,
            trial: None,
            redone: 0,
        }
    }

    fn asks(shard: &ShardRow) -> Vec<Ask> {
        shard.done.missing().map(|line| Ask { line, twins: Vec::new() }).collect()
    }

    /// One worker's life with the shard: as the store has it, in memory. Gives whether it died.
    fn run(shard: &mut ShardRow, kills: &[usize]) -> bool {
        let next = |shard: &mut ShardRow, group: Vec<Ask>| {
            let is_fatal = group.iter().any(|ask| kills.contains(&ask.line));
            if is_fatal {
                shard.crash_count += 1;
                shard.crashes += 1;
            } else {
                group.iter().for_each(|ask| shard.done.set(ask.line));
            }
            is_fatal
        };
        let mut trial = match Trial::of(shard, asks(shard)) {
            Ok(trial) => trial,
            Err(all) => return next(shard, all),
        };
        if let Some(culprit) = &trial.culprit {
            assert!(kills.contains(&culprit.line), "line {} is innocent", culprit.line);
            shard.done.set(culprit.line);
        }
        loop {
            match trial.next() {
                Next::Free(free) => {
                    shard.crash_count = 0;
                    return next(shard, free);
                }
                Next::Group(group) => {
                    let told = Some(marked(&group, LINES));
                    shard.crash_count = if shard.trial == told { shard.crash_count } else { SUSPECT_CRASHES };
                    shard.trial = told;
                    if next(shard, group) {
                        return true;
                    }
                }
            }
        }
    }

    fn crashes_until_done(kills: &[usize]) -> i64 {
        let mut shard = shard();
        while !shard.done.is_full() {
            run(&mut shard, kills);
        }
        shard.crashes
    }

    #[test]
    fn one_line_in_256_is_found_by_halving_wherever_it_is() {
        let crashes: Vec<_> = (0..LINES).map(|line| crashes_until_done(&[line])).collect();

        // Two among all, at most one for each of eight halvings, and the line alone three times.
        assert_eq!(crashes.iter().max(), Some(&12), "{crashes:?}");
        assert_eq!(crashes.iter().min(), Some(&5), "{crashes:?}");
        assert!(crashes.iter().sum::<i64>() <= 9 * LINES as i64, "{crashes:?}");
    }

    #[test]
    fn several_lines_are_found_one_after_the_other() {
        assert!(crashes_until_done(&[0, 255]) <= 24);
        assert!(crashes_until_done(&[17, 18, 200]) <= 36);
    }

    #[test]
    fn a_shard_without_a_culprit_is_answered_however_often_its_workers_die() {
        let mut shard = shard();
        shard.crash_count = 40;
        shard.trial = Some(marked(&asks(&shard), LINES));

        assert!(!run(&mut shard, &[]));

        assert!(shard.done.is_full());
    }

    #[test]
    fn shards_that_are_not_suspect_run_as_always() {
        let shard = ShardRow { crash_count: SUSPECT_CRASHES - 1, ..shard() };

        assert_eq!(Trial::of(&shard, asks(&shard)).unwrap_err().len(), LINES);
    }

    #[test]
    fn what_was_in_flight_before_anybody_told_is_not_believed() {
        let mut shard = ShardRow { crash_count: SUSPECT_CRASHES, ..shard() };
        shard.trial = Some(marked(&[Ask { line: 3, twins: vec![] }], LINES));

        let mut trial = Trial::of(&shard, asks(&shard)).unwrap();

        assert!(matches!(trial.next(), Next::Group(group) if group.len() == LINES / 2));
    }
}
