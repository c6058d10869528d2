//! What follows from an attempt: pure.

use domain::AttemptOutcome;
use std::time::Duration;
use store::Verdict;

/// What a receiver asks for counts up to here.
const LONGEST_ASKED: Duration = Duration::from_secs(86_400);

/// When deliveries are tried again.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) retries_secs: Vec<u64>,
    pub(crate) disable_after_ms: i64,
}

impl Schedule {
    /// `attempts` were made before this one; `spread`, from 0.8 to 1.2, keeps those that failed together from coming together.
    pub(crate) fn judge(
        &self,
        outcome: AttemptOutcome,
        attempts: u32,
        asked: Option<Duration>,
        spread: f64,
    ) -> Verdict {
        match outcome {
            AttemptOutcome::Delivered => Verdict::Arrived,
            AttemptOutcome::Gone => Verdict::Unwanted,
            _ => match usize::try_from(attempts).ok().and_then(|attempts| self.retries_secs.get(attempts)) {
                None => Verdict::GivenUp(self.disable_after_ms),
                Some(secs) => {
                    let wait = Duration::from_secs(*secs).mul_f64(spread);
                    let wait = wait.max(asked.unwrap_or_default().min(LONGEST_ASKED));
                    Verdict::Again(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 2))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(outcome: AttemptOutcome, attempts: u32, asked: Option<u64>) -> Verdict {
        let schedule = Schedule { retries_secs: vec![5, 300], disable_after_ms: 9 };
        schedule.judge(outcome, attempts, asked.map(Duration::from_secs), 1.0)
    }

    #[test]
    fn what_fails_is_tried_again_until_the_schedule_ends() {
        for outcome in
            [AttemptOutcome::Refused, AttemptOutcome::TimedOut, AttemptOutcome::Unreachable, AttemptOutcome::Forbidden]
        {
            let verdicts: Vec<_> = (0..4).map(|attempts| judge(outcome, attempts, None)).collect();
            let expected = [Verdict::Again(5_000), Verdict::Again(300_000), Verdict::GivenUp(9), Verdict::GivenUp(9)];
            assert_eq!(verdicts, expected);
        }
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_within_a_day() {
        let wait = |asked| judge(AttemptOutcome::Refused, 0, Some(asked));

        assert_eq!(wait(1), Verdict::Again(5_000));
        assert_eq!(wait(60), Verdict::Again(60_000));
        assert_eq!(wait(u64::MAX), Verdict::Again(86_400_000));
        assert_eq!(judge(AttemptOutcome::Refused, 2, Some(60)), Verdict::GivenUp(9));
    }

    #[test]
    fn success_and_refusal_for_good_end_it() {
        assert_eq!(judge(AttemptOutcome::Delivered, 0, None), Verdict::Arrived);
        assert_eq!(judge(AttemptOutcome::Gone, 0, None), Verdict::Unwanted);
    }
}
