//! The batch state machine, as the OpenAI Batch API defines its states.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a batch is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// The input is being judged.
    Validating,
    /// The input was refused; there are no files.
    Failed,
    /// Lines are being answered.
    InProgress,
    /// Every line has its record; the files are being assembled.
    Finalizing,
    /// Done.
    Completed,
    /// The window closed first; files hold what was done.
    Expired,
    /// Cancel was asked; in-flight calls are being aborted.
    Cancelling,
    /// Cancelled; files hold what was done.
    Cancelled,
}

impl BatchStatus {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Validating,
        Self::Failed,
        Self::InProgress,
        Self::Finalizing,
        Self::Completed,
        Self::Expired,
        Self::Cancelling,
        Self::Cancelled,
    ];

    /// The word in JSON, SQL and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads what [`BatchStatus::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nothing can happen to the batch any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }

    /// Whether the state machine has an arrow from `self` to `next`.
    #[must_use]
    pub fn can_become(self, next: Self) -> bool {
        use BatchStatus::{Cancelled, Cancelling, Completed, Expired, Failed, Finalizing, InProgress, Validating};
        matches!(
            (self, next),
            (Validating, InProgress | Failed | Cancelling | Expired)
                | (InProgress, Finalizing | Cancelling | Expired)
                | (Finalizing, Completed | Expired | Cancelling)
                | (Cancelling, Cancelled)
        )
    }
}

impl fmt::Display for BatchStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a shard is. Expired leases are `Leased` rows whose time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardStatus {
    /// Waits for a worker.
    Runnable,
    /// A worker holds it until its lease ends.
    Leased,
    /// Every line has its record.
    Done,
}

impl ShardStatus {
    /// The word in SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runnable => "runnable",
            Self::Leased => "leased",
            Self::Done => "done",
        }
    }
}

/// The model API that every line of a batch calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    #[serde(rename = "/v1/chat/completions")]
    ChatCompletions,
    /// `/v1/completions`
    #[serde(rename = "/v1/completions")]
    Completions,
    /// `/v1/embeddings`
    #[serde(rename = "/v1/embeddings")]
    Embeddings,
}

impl Endpoint {
    /// Every endpoint a batch may name.
    pub const ALL: [Self; 3] = [Self::ChatCompletions, Self::Completions, Self::Embeddings];

    /// The path in URLs, input lines and SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// Reads what [`Endpoint::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.as_str() == text)
    }
}

/// How the lines of a batch ended. Lines that never ran are not `failed`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Answered with a 2xx.
    pub completed: i64,
    /// Executed and answered with anything else.
    pub failed: i64,
    /// Not executed before the window closed.
    pub expired: i64,
    /// Not executed before the cancel.
    pub cancelled: i64,
}

impl LineCounts {
    /// Lines that have their record.
    #[must_use]
    pub fn recorded(&self) -> i64 {
        self.completed + self.failed + self.expired + self.cancelled
    }
}

/// Reads `completion_window`: whole hours from `1h` to `168h`, or days from `1d` to `7d`. Seconds.
#[must_use]
pub fn completion_window_secs(text: &str) -> Option<i64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let hours: i64 = match unit {
        "h" => digits.parse().ok()?,
        "d" => digits.parse::<i64>().ok()?.checked_mul(24)?,
        _ => return None,
    };
    (1..=168).contains(&hours).then_some(hours * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_terminal_state() {
        for from in BatchStatus::ALL.into_iter().filter(|status| status.is_terminal()) {
            assert!(BatchStatus::ALL.into_iter().all(|to| !from.can_become(to)), "{from}");
        }
    }

    #[test]
    fn every_live_state_can_reach_an_end() {
        for from in BatchStatus::ALL.into_iter().filter(|status| !status.is_terminal()) {
            assert!(BatchStatus::ALL.into_iter().any(|to| from.can_become(to)), "{from}");
        }
    }

    #[test]
    fn words_round_trip() {
        for status in BatchStatus::ALL {
            assert_eq!(BatchStatus::parse(status.as_str()), Some(status));
        }
    }

    #[test]
    fn windows_are_hours_or_days() {
        assert_eq!(completion_window_secs("24h"), Some(86_400));
        assert_eq!(completion_window_secs("7d"), Some(604_800));
        for bad in ["", "h", "0h", "8d", "169h", "24", "-1h", "24m", "1.5h", "é"] {
            assert_eq!(completion_window_secs(bad), None, "{bad}");
        }
    }
}
