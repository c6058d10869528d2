//! What happens to a batch that somebody outside may want to hear.

/// A kind of event. Those that OpenAI's webhooks have carry the same name; `in_progress`, `progress` and `at_risk` are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchEventKind {
    /// The input was accepted; lines may begin.
    InProgress,
    /// A quarter, a half or three quarters of the lines have their record.
    Progress,
    /// At the pace so far the batch will not be done when its window closes. Told once.
    AtRisk,
    /// Done.
    Completed,
    /// The input was refused.
    Failed,
    /// The window closed first.
    Expired,
    /// Cancelled.
    Cancelled,
}

impl BatchEventKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::InProgress, Self::Progress, Self::AtRisk, Self::Completed, Self::Failed, Self::Expired, Self::Cancelled];

    /// The word in JSON and SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "batch.in_progress",
            Self::Progress => "batch.progress",
            Self::AtRisk => "batch.at_risk",
            Self::Completed => "batch.completed",
            Self::Failed => "batch.failed",
            Self::Expired => "batch.expired",
            Self::Cancelled => "batch.cancelled",
        }
    }

    /// Reads what [`BatchEventKind::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The quarter that was reached, in percent, when the lines with a record went from `before` to `after`. 100 % has an event of its
/// own.
#[must_use]
pub fn quarter_reached(before: i64, after: i64, total: i64) -> Option<i64> {
    let quarter = |lines: i64| if total > 0 { lines.saturating_mul(4) / total } else { 0 };
    let reached = quarter(after).min(3);
    (reached > quarter(before)).then_some(reached * 25)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_as_it_was_written() {
        for kind in BatchEventKind::ALL {
            assert_eq!(BatchEventKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(BatchEventKind::parse("batch.danced"), None);
    }

    #[test]
    fn a_quarter_is_told_when_it_is_reached_and_the_last_of_several_at_once() {
        let steps = [
            ((0, 24, 100), None),
            ((24, 25, 100), Some(25)),
            ((25, 26, 100), None),
            ((26, 80, 100), Some(75)),
            ((80, 100, 100), None),
            ((0, 100, 100), Some(75)),
            ((0, 1, 1), Some(75)),
            ((0, 0, 0), None),
        ];
        for ((before, after, total), reached) in steps {
            assert_eq!(quarter_reached(before, after, total), reached, "{before} to {after} of {total}");
        }
    }
}
