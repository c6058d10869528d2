//! Whose batch work comes next. Weighted fair queueing over tenants by start times (SFQ), in estimated tokens: a tenant's next
//! shard starts where its last one finished, on a clock that every shard moves on by its tokens over the tenant's weight, and
//! the earliest start is next. Within a tenant the order is given: by priority, then by deadline. Pure.

use crate::Priority;

/// The weight of a tenant for whom no other was set.
pub const DEFAULT_WEIGHT: i64 = 100;
/// The largest weight; the smallest is 1.
pub const MAX_WEIGHT: i64 = 1_000;

/// The part of its tenant's share that a batch usually has, in thousandths.
pub const USUAL: i64 = 1_000;
/// That of an idle batch.
pub const IDLE: i64 = 125;
/// That of one that is late, at most.
const MOST: i64 = 4_000;
/// Steps of the clock for a token at weight 1 and the usual share, times [`USUAL`].
const STEPS: i128 = 1_000_000;

/// How far a batch is, and what was learned of its estimates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Its place among the batches of its tenant.
    pub priority: Priority,
    /// Estimated tokens of all its lines.
    pub tokens: i64,
    /// Of these, of the lines that have their record.
    pub tokens_done: i64,
    /// What those lines really used.
    pub tokens_used: i64,
    /// Milliseconds until its deadline.
    pub left_ms: i64,
    /// Milliseconds from when it could begin until its deadline.
    pub window_ms: i64,
}

/// A tenant with a shard that could begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contender {
    /// Its part of the whole, relative to the others'.
    pub weight: i64,
    /// When its last shard finished, on the clock of shares.
    pub finish: i64,
    /// Its shards at work.
    pub in_flight: i64,
    /// How many those may be.
    pub cap: Option<i64>,
    /// The batch whose shard would be next.
    pub head: Progress,
}

/// A shard's place on the clock of shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// What the clock says from now on.
    pub start: i64,
    /// Before this the tenant is not served again while others wait.
    pub finish: i64,
}

/// Which of `contenders` is next. `None`: none of them may have another shard.
#[must_use]
pub fn next(clock: i64, contenders: &[Contender]) -> Option<usize> {
    let may = |one: &Contender| one.cap.is_none_or(|cap| one.in_flight < cap);
    let order = |one: &Contender| (one.start(clock), one.in_flight, one.finish);
    (0..contenders.len()).filter(|at| may(&contenders[*at])).min_by_key(|at| order(&contenders[*at]))
}

impl Contender {
    /// Who had nothing to do saved nothing up.
    fn start(&self, clock: i64) -> i64 {
        self.finish.max(clock)
    }

    /// What a shard of `tokens` is charged.
    #[must_use]
    pub fn slot(&self, clock: i64, tokens: i64) -> Slot {
        let start = self.start(clock);
        let share = i128::from(self.weight.clamp(1, MAX_WEIGHT)) * i128::from(self.head.share());
        let steps = i128::from(tokens.max(1)) * STEPS / share;
        Slot { start, finish: start.saturating_add(i64::try_from(steps).unwrap_or(i64::MAX).max(1)) }
    }
}

impl Progress {
    /// The part of its tenant's share that it gets, in thousandths: more, up to fourfold, the further it is behind a steady pace to
    /// its deadline; an eighth if it is idle.
    fn share(&self) -> i64 {
        if self.priority == Priority::Idle {
            return IDLE;
        }
        let undone = i128::from(self.tokens.saturating_sub(self.tokens_done).max(0));
        let steady = i128::from(self.tokens) * i128::from(self.left_ms.max(0));
        if steady == 0 {
            return if undone > 0 { MOST } else { USUAL };
        }
        let pace = i128::from(USUAL) * undone * i128::from(self.window_ms) / steady;
        i64::try_from(pace).unwrap_or(MOST).clamp(USUAL, MOST)
    }

    /// What lines estimated at `tokens` are expected to use, going by the lines before them.
    #[must_use]
    pub fn expect(&self, tokens: i64) -> i64 {
        if self.tokens_done <= 0 {
            return tokens;
        }
        let expected = i128::from(tokens) * i128::from(self.tokens_used.max(0)) / i128::from(self.tokens_done);
        i64::try_from(expected).unwrap_or(i64::MAX)
    }
}

/// The part of `whole` that `part` of `of` equal pieces have. Over all pieces the parts add up to the whole, whatever the steps.
#[must_use]
pub fn prorate(whole: i64, part: usize, of: usize) -> i64 {
    if of == 0 {
        return whole;
    }
    i64::try_from(i128::from(whole) * (part as i128) / (of as i128)).unwrap_or(whole)
}

#[cfg(test)]
mod tests;
